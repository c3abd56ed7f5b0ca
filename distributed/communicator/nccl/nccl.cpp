// Calls with device memory go to NCCL in a separate stream. Calls with host memory go to the group that it is built on,
// which does not record them. Each group has its own unique id and communicator, not one from ncclCommSplit, so that
// only its members take part and its state does not depend on that of its parent.
#include "distributed/communicator/nccl/nccl.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "distributed/communicator/nccl/bootstrap.h"
#include "distributed/communicator/nccl/check.h"
#include "distributed/communicator/nccl/device_queue.h"
#include "distributed/communicator/nccl/nccl_comm.h"

namespace polyhead {
namespace {

using Clock = std::chrono::steady_clock;

// The state that the groups of one world share.
struct NcclWorld {
  explicit NcclWorld(const DeviceOptions& given)
      : options(given), queue(given.device, static_cast<cudaStream_t>(given.stream)) {}

  // An error of one communicator ends all of them, because their members are waiting for it or have ended.
  void abort() {
    broken = true;
    NcclComm::abort(comms, queue.device(), 5);
  }

  // Blocks the host until the stream is empty, and checks for errors meanwhile, because a plain wait for the stream
  // would not end if a member has ended.
  void wait() {
    const auto start = Clock::now();
    for (int polls = 0; !queue.idle(); ++polls) {
      for (NcclComm* comm : comms) comm->check();
      const auto waited = Clock::now() - start;
      if (waited > std::chrono::duration<double>(options.timeout))
        throw Error(Exit::hang, fmt::format("collectives on device {} have not ended after {} s: another worker is "
                                            "late or stopped, or has called other collectives",
                                            options.device, options.timeout));
      // The pauses are short at first, because a step's collectives take a few milliseconds.
      if (waited < std::chrono::milliseconds(20))
        std::this_thread::yield();
      else
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    for (NcclComm* comm : comms) comm->check();
  }

  DeviceOptions options;
  DeviceQueue queue;
  std::vector<NcclComm*> comms;  // of all existing groups
  bool broken = false;
};

bool in_device_memory(const void* pointer) {
  cudaPointerAttributes attributes{};
  POLYHEAD_CUDA_CHECK(cudaPointerGetAttributes(&attributes, pointer));
  return attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
}

// Returns whether NCCL handles a call, that is, whether all of its memory is on the device.
bool is_for_device(std::initializer_list<std::span<const Range>> lists) {
  int device = 0, host = 0;
  for (const auto& list : lists)
    for (const Range& range : list)
      if (range.count > 0) ++(in_device_memory(range.data) ? device : host);
  if (device > 0 && host > 0) throw Error(Exit::internal, "one call has both host memory and device memory");
  return device > 0;
}

bool is_for_device(const void* one, const void* other) {
  // The memory is not accessed.
  const Range ranges[] = {{const_cast<void*>(one), 1}, {const_cast<void*>(other), 1}};
  return is_for_device({ranges});
}

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(std::shared_ptr<NcclWorld> world, Communicator& host, std::unique_ptr<Communicator> owned)
      : Communicator(derive(host.group(), 0)),  // its calls are numbered separately from those of the host's group
        world_(std::move(world)),
        owned_(std::move(owned)),
        host_(host),
        beneath_(host) {
    if (host_.size() == 1) return;  // its collectives are copies and need no communicator
    comm_ =
        std::make_unique<NcclComm>(share_unique_id(host_), host_.rank(), host_.size(), world_->options.init_timeout);
    world_->comms.push_back(comm_.get());
    host_.barrier("nccl.connected");
  }
  ~NcclCommunicator() override {
    if (!comm_) return;
    // NCCL must finalise after the last collective.
    if (!world_->broken && std::uncaught_exceptions() == 0) {
      try {
        world_->wait();
      } catch (const Error&) {
        world_->abort();
      }
    }
    std::erase(world_->comms, comm_.get());
  }

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  [[noreturn]] void abort(int code) override {
    host_.abort(code);
    std::_Exit(code);  // GCC does not know that the line above does not return
  }
  void join() override { world_->queue.join(); }

 protected:
  void do_all_reduce(void* data, std::size_t count, DType type, Reduce reduce) override {
    const Range range{data, count};
    do_all_reduce_ranges({&range, 1}, type, reduce);
  }

  void do_all_reduce_ranges(std::span<const Range> ranges, DType type, Reduce reduce) override {
    if (!is_for_device({ranges})) return beneath_.do_all_reduce_ranges(ranges, type, reduce);
    const ncclRedOp_t operation = operation_of(type, reduce);
    enqueue([&](cudaStream_t stream) {
      if (comm_) comm_->all_reduce(ranges, nccl_type_of(type), operation, stream);
    });
  }

  void do_broadcast(void* data, std::size_t count, DType type, int root) override {
    if (!is_for_device(data, data)) return beneath_.do_broadcast(data, count, type, root);
    enqueue([&](cudaStream_t stream) {
      if (comm_) comm_->broadcast(data, count, nccl_type_of(type), root, stream);
    });
  }

  void do_all_gather(const void* mine, void* all, std::size_t count, DType type) override {
    if (!is_for_device(mine, all)) return beneath_.do_all_gather(mine, all, count, type);
    enqueue([&](cudaStream_t stream) {
      if (comm_)
        comm_->all_gather(mine, all, count, nccl_type_of(type), stream);
      else
        copy(all, mine, count * size_of(type), stream);
    });
  }

  void do_reduce_scatter(const void* all, void* mine, std::size_t count, DType type, Reduce reduce) override {
    if (!is_for_device(all, mine)) return beneath_.do_reduce_scatter(all, mine, count, type, reduce);
    const ncclRedOp_t operation = operation_of(type, reduce);
    enqueue([&](cudaStream_t stream) {
      if (comm_)
        comm_->reduce_scatter(all, mine, count, nccl_type_of(type), operation, stream);
      else
        copy(mine, all, count * size_of(type), stream);
    });
  }

  void do_all_to_all(std::span<const Range> send, std::span<const Range> receive, DType type) override {
    if (!is_for_device({send, receive})) return beneath_.do_all_to_all(send, receive, type);
    enqueue([&](cudaStream_t stream) {
      if (comm_)
        comm_->all_to_all(send, receive, nccl_type_of(type), stream);
      else
        copy(receive[0].data, send[0].data, send[0].count * size_of(type), stream);
    });
  }

  void do_barrier() override {
    do_synchronize();
    beneath_.do_barrier();
  }

  void do_synchronize() override {
    guarded([&] { world_->wait(); });
  }

  std::unique_ptr<Communicator> do_split(int color) override {
    auto part = beneath_.do_split(color);
    if (!part) return nullptr;
    Communicator& members = *part;
    return guarded([&] { return std::make_unique<NcclCommunicator>(world_, members, std::move(part)); });
  }

  std::unique_ptr<SharedBuffer> do_allocate(std::size_t bytes) override { return beneath_.do_allocate(bytes); }

 private:
  static ncclRedOp_t operation_of(DType type, Reduce reduce) {
    if (reduce == Reduce::sum) return ncclSum;
    // The contract is that a NaN of any member gives a NaN on all.
    if (type == DType::f32 || type == DType::f64)
      throw Error(Exit::internal,
                  "NCCL's maxima and minima lose a NaN; reduce those of floating-point numbers in host memory");
    return reduce == Reduce::max ? ncclMax : ncclMin;
  }

  static void copy(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
    if (to != from) POLYHEAD_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream));
  }

  // Runs `call`. After an error, NCCL cannot be used in this process.
  template <class Call>
  std::invoke_result_t<Call> guarded(Call call) {
    if (world_->broken)
      throw Error(Exit::internal, "NCCL was aborted after an earlier error; this process cannot continue");
    try {
      return call();
    } catch (...) {
      world_->abort();
      throw;
    }
  }

  template <class Call>
  void enqueue(Call call) {
    guarded([&] {
      for (NcclComm* comm : world_->comms) comm->check();
      world_->queue.enter();
      call(world_->queue.stream());
    });
  }

  std::shared_ptr<NcclWorld> world_;
  std::unique_ptr<Communicator> owned_;  // the host's group, if this group is a part of the world
  Communicator& host_;
  Backend& beneath_;                // the functions of host_ that record nothing
  std::unique_ptr<NcclComm> comm_;  // null in a group of one
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, const DeviceOptions& options) {
  check_nccl_versions(host);
  check_devices(host, options.device);
  return std::make_unique<NcclCommunicator>(std::make_shared<NcclWorld>(options), host, nullptr);
}

}  // namespace polyhead
