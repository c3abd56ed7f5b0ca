// Owns an ncclComm_t: creates, checks, finalises or aborts it.
#include "distributed/communicator/nccl/nccl_comm.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "distributed/communicator/nccl/check.h"

namespace polyhead {
namespace {

using Clock = std::chrono::steady_clock;

// Groups the calls between ncclGroupStart and ncclGroupEnd, which is called even after an exception.
class CallGroup {
 public:
  explicit CallGroup(ncclComm_t comm) : comm_(comm) { POLYHEAD_NCCL_CHECK(comm_, ncclGroupStart()); }
  ~CallGroup() {
    if (open_) ncclGroupEnd();
  }
  CallGroup(const CallGroup&) = delete;
  CallGroup& operator=(const CallGroup&) = delete;

  void end() {
    open_ = false;
    POLYHEAD_NCCL_CHECK(comm_, ncclGroupEnd());
  }

 private:
  ncclComm_t comm_;
  bool open_ = true;
};

}  // namespace

ncclDataType_t nccl_type_of(DType type) {
  switch (type) {
    case DType::u8:
      return ncclUint8;
    case DType::i32:
      return ncclInt32;
    case DType::i64:
      return ncclInt64;
    case DType::u64:
      return ncclUint64;
    case DType::f32:
      return ncclFloat32;
    case DType::f64:
      return ncclFloat64;
  }
  throw Error(Exit::internal, fmt::format("unknown element type {}", static_cast<int>(type)));
}

NcclComm::NcclComm(const ncclUniqueId& id, int rank, int size, double timeout)
    : rank_(rank), size_(size), timeout_(timeout) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  try {
    POLYHEAD_NCCL_CHECK(comm_, ncclCommInitRankConfig(&comm_, size, id, rank, &config));
    settle("connecting");
  } catch (...) {
    int device = 0;
    cudaGetDevice(&device);
    NcclComm* const self = this;
    if (comm_) abort({&self, 1}, device, 5);
    throw;
  }
}

NcclComm::~NcclComm() {
  if (!comm_ || std::uncaught_exceptions() > 0) return;
  try {
    POLYHEAD_NCCL_CHECK(comm_, ncclCommFinalize(comm_));
    settle("finalising");
    POLYHEAD_NCCL_CHECK(comm_, ncclCommDestroy(comm_));
  } catch (const Error&) {  // all work has ended, so an error while finalising does not affect its results
    int device = 0;
    cudaGetDevice(&device);
    NcclComm* const self = this;
    abort({&self, 1}, device, 5);
  }
}

void NcclComm::all_reduce(std::span<const Range> ranges, ncclDataType_t type, ncclRedOp_t reduce, cudaStream_t stream) {
  CallGroup group(comm_);
  for (const Range& range : ranges)
    POLYHEAD_NCCL_CHECK(comm_, ncclAllReduce(range.data, range.data, range.count, type, reduce, comm_, stream));
  group.end();
  settle("enqueueing");
}

void NcclComm::broadcast(void* data, std::size_t count, ncclDataType_t type, int root, cudaStream_t stream) {
  POLYHEAD_NCCL_CHECK(comm_, ncclBroadcast(data, data, count, type, root, comm_, stream));
  settle("enqueueing");
}

void NcclComm::all_gather(const void* mine, void* all, std::size_t count, ncclDataType_t type, cudaStream_t stream) {
  POLYHEAD_NCCL_CHECK(comm_, ncclAllGather(mine, all, count, type, comm_, stream));
  settle("enqueueing");
}

void NcclComm::reduce_scatter(const void* all, void* mine, std::size_t count, ncclDataType_t type, ncclRedOp_t reduce,
                              cudaStream_t stream) {
  POLYHEAD_NCCL_CHECK(comm_, ncclReduceScatter(all, mine, count, type, reduce, comm_, stream));
  settle("enqueueing");
}

void NcclComm::all_to_all(std::span<const Range> send, std::span<const Range> receive, ncclDataType_t type,
                          cudaStream_t stream) {
  CallGroup group(comm_);
  for (int peer = 0; peer < size_; ++peer) {
    const Range& to = send[static_cast<std::size_t>(peer)];
    const Range& from = receive[static_cast<std::size_t>(peer)];
    if (to.count > 0) POLYHEAD_NCCL_CHECK(comm_, ncclSend(to.data, to.count, type, peer, comm_, stream));
    if (from.count > 0) POLYHEAD_NCCL_CHECK(comm_, ncclRecv(from.data, from.count, type, peer, comm_, stream));
  }
  group.end();
  settle("enqueueing");
}

void NcclComm::check() {
  ncclResult_t state = ncclSuccess;
  POLYHEAD_NCCL_CHECK(comm_, ncclCommGetAsyncError(comm_, &state));
  if (state != ncclSuccess && state != ncclInProgress)
    throw_nccl_error(state, comm_, "found while collectives ran", __FILE__, __LINE__);
}

void NcclComm::settle(const char* doing) {
  const auto start = Clock::now();
  for (int polls = 0;; ++polls) {
    ncclResult_t state = ncclSuccess;
    POLYHEAD_NCCL_CHECK(comm_, ncclCommGetAsyncError(comm_, &state));
    if (state == ncclSuccess) return;
    if (state != ncclInProgress) throw_nccl_error(state, comm_, doing, __FILE__, __LINE__);
    if (Clock::now() - start > std::chrono::duration<double>(timeout_))
      throw Error(
          Exit::hang,
          fmt::format(
              "NCCL is still {} after {} s (rank {} of {}): a worker of the group is late, has ended, or cannot be "
              "reached; NCCL_DEBUG=INFO shows the network interface that each one chose, NCCL_SOCKET_IFNAME "
              "chooses another",
              doing, timeout_, rank_, size_));
    if (polls > 100)
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    else
      std::this_thread::yield();
  }
}

bool NcclComm::abort(std::span<NcclComm* const> comms, int device, double seconds) {
  std::vector<ncclComm_t> given_up;
  for (NcclComm* comm : comms)
    if (ncclComm_t handle = std::exchange(comm->comm_, nullptr)) given_up.push_back(handle);
  auto ended = std::make_shared<std::promise<void>>();
  auto future = ended->get_future();
  std::thread([given_up, device, ended] {
    cudaSetDevice(device);
    for (ncclComm_t handle : given_up) ncclCommAbort(handle);
    ended->set_value();
  }).detach();
  return future.wait_for(std::chrono::duration<double>(seconds)) == std::future_status::ready;
}

}  // namespace polyhead
