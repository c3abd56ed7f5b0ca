// NCCL of the stand-in: non-blocking communicators, collectives, send and receive, groups. Members exchange messages
// over MPI's world, tagged by communicator. Calls that query the state make progress.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "distributed/communicator/reduction.h"
#include "tests/nccl_stand_in/stand_in.h"

struct ncclComm {};

namespace polyhead::stand_in {
namespace {

using Bytes = std::vector<std::byte>;

struct Id {
  std::uint64_t magic;
  int creator, tag;
};
constexpr std::uint64_t kMagic = 0x5ba2d1f00d;
enum Channel { joining, members, collectives, points, farewells, channels };  // a tag each

struct Comm : ncclComm {
  int rank = 0, size = 0, tag = 0;
  std::optional<int> creator;  // while connecting
  std::vector<int> world;      // ranks of MPI's world
  std::vector<int> joined;     // on the creator: as world, -1 where not yet
  int joins = 0;
  std::atomic<ncclResult_t> state = ncclInProgress;
  std::string error;
  int busy = 0;  // polls that say ncclInProgress
  int outstanding = 0;
  int leaving = -1;  // while finalising: members that have not
  bool finalized = false;
  std::atomic<bool> aborted = false;

  void fail(ncclResult_t code, const std::string& words) {
    state = code;
    error = words;
  }
};

std::set<ncclComm_t> alive;
std::vector<std::shared_ptr<Comm>> all_comms;  // kept: work on streams may outlive them
std::atomic<int> destroyed = 0, aborted = 0;
std::vector<std::string> recorded;
std::uint64_t collectives_run = 0;

Comm* comm_of(ncclComm_t handle) {
  return alive.contains(handle) ? static_cast<Comm*>(handle) : nullptr;
}

// --- messages
// ---------------------------------------------------------------------------------------------------------
struct Posted {
  MPI_Request request = MPI_REQUEST_NULL;
  Bytes data;
};
std::deque<Posted> posted;  // a deque: buffers stay where they are

void post(int world_rank, int tag, Bytes data) {
  while (!posted.empty()) {
    int done = 0;
    MPI_Test(&posted.front().request, &done, MPI_STATUS_IGNORE);
    if (!done) break;
    posted.pop_front();
  }
  Posted& message = posted.emplace_back();
  message.data = std::move(data);
  MPI_Isend(message.data.data(), static_cast<int>(message.data.size()), MPI_BYTE, world_rank, tag, MPI_COMM_WORLD,
            &message.request);
}

std::optional<Bytes> take(int world_rank, int tag) {
  int there = 0, length = 0;
  MPI_Message message = MPI_MESSAGE_NULL;
  MPI_Status status;
  MPI_Improbe(world_rank, tag, MPI_COMM_WORLD, &there, &message, &status);
  if (!there) return {};
  MPI_Get_count(&status, MPI_BYTE, &length);
  Bytes data(static_cast<std::size_t>(length));
  MPI_Mrecv(data.data(), length, MPI_BYTE, &message, MPI_STATUS_IGNORE);
  return data;
}

template <class T>
Bytes bytes_of(const T& value) {
  Bytes data(sizeof value);
  std::memcpy(data.data(), &value, sizeof value);
  return data;
}

template <class T>
T value_of(const Bytes& data) {
  T value;
  std::memcpy(&value, data.data(), sizeof value);
  return value;
}

int tag_of(const Comm& comm, Channel channel) {
  return comm.tag * channels + channel;
}

// --- connecting and leaving
// -------------------------------------------------------------------------------------------
struct Join {
  int rank, size, world_rank;
};

// Members tell the creator who they are; it tells all who all are.
void connect(Comm& comm) {
  int me = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &me);
  if (me == *comm.creator) {
    while (comm.joins < comm.size) {
      const auto message = take(MPI_ANY_SOURCE, tag_of(comm, joining));
      if (!message) return;
      const Join join = value_of<Join>(*message);
      if (join.size != comm.size || join.rank < 0 || join.rank >= comm.size ||
          comm.joined[static_cast<std::size_t>(join.rank)] >= 0)
        return comm.fail(ncclInvalidUsage, "members disagree about their ranks");
      comm.joined[static_cast<std::size_t>(join.rank)] = join.world_rank;
      if (++comm.joins == comm.size) {
        Bytes list(comm.joined.size() * sizeof(int));
        std::memcpy(list.data(), comm.joined.data(), list.size());
        for (const int rank : comm.joined) post(rank, tag_of(comm, members), list);
      }
    }
  }
  if (const auto list = take(*comm.creator, tag_of(comm, members))) {
    comm.world.resize(static_cast<std::size_t>(comm.size));
    std::memcpy(comm.world.data(), list->data(), list->size());
    comm.creator.reset();
    comm.state = ncclSuccess;
  }
}

void leave(Comm& comm) {
  while (comm.leaving > 0 && take(MPI_ANY_SOURCE, tag_of(comm, farewells))) --comm.leaving;
  if (comm.leaving > 0) return;
  comm.leaving = -1;
  comm.finalized = true;
  comm.state = ncclSuccess;
}

// --- operations
// -------------------------------------------------------------------------------------------------------
enum class Verb : std::int32_t { all_reduce, broadcast, all_gather, reduce_scatter, send, receive };
constexpr const char* kVerbs[] = {"all_reduce", "broadcast", "all_gather", "reduce_scatter", "send", "receive"};

struct Header {
  Verb verb;
  std::int32_t type, reduce, root;  // root: of a broadcast; the peer of a send or receive
  std::uint64_t count;
  bool operator==(const Header&) const = default;
};

struct Operation {
  Header header;
  const void* from;
  void* to;
  std::vector<std::optional<Bytes>> heard;  // by member
  bool sent = false, done = false;
};

DType type_of(std::int32_t type) {
  switch (type) {
    case ncclUint8:
      return DType::u8;
    case ncclInt32:
      return DType::i32;
    case ncclInt64:
      return DType::i64;
    case ncclUint64:
      return DType::u64;
    case ncclFloat32:
      return DType::f32;
    default:
      return DType::f64;
  }
}

bool known(ncclDataType_t type) {
  return type == ncclUint8 || type == ncclInt32 || type == ncclInt64 || type == ncclUint64 || type == ncclFloat32 ||
         type == ncclFloat64;
}

std::size_t bytes_in(const Header& header) {
  return header.count * size_of(type_of(header.type));
}

bool is_point(Verb verb) {
  return verb == Verb::send || verb == Verb::receive;
}

// Elements that a member puts in and gets out, as multiples of the count.
std::size_t inputs(const Comm& comm, Verb verb) {
  return verb == Verb::receive ? 0 : verb == Verb::reduce_scatter ? static_cast<std::size_t>(comm.size) : 1;
}
std::size_t outputs(const Comm& comm, Verb verb) {
  return verb == Verb::send ? 0 : verb == Verb::all_gather ? static_cast<std::size_t>(comm.size) : 1;
}

void reduce_into(const Operation& operation, std::size_t skip) {
  const std::size_t count = operation.header.count;
  const Reduce reduce = operation.header.reduce == ncclSum   ? Reduce::sum
                        : operation.header.reduce == ncclMax ? Reduce::max
                                                             : Reduce::min;
  dispatch(type_of(operation.header.type), reduce, [&]<class T, Reduce op>() {
    T* result = static_cast<T*>(operation.to);
    for (std::size_t member = 0; member < operation.heard.size(); ++member) {
      const T* part = reinterpret_cast<const T*>(operation.heard[member]->data() + sizeof(Header)) + skip;
      for (std::size_t i = 0; i < count; ++i) result[i] = member == 0 ? part[i] : combine<op>(result[i], part[i]);
    }
  });
}

// Says what it has to the others once, then hears them; done when all were heard.
bool advance(Comm& comm, Operation& operation) {
  const Header& header = operation.header;
  const std::size_t bytes = bytes_in(header);
  if (!operation.sent) {
    operation.sent = true;
    Bytes message = bytes_of(header);
    const auto* from = static_cast<const std::byte*>(operation.from);
    if (header.verb != Verb::receive) message.insert(message.end(), from, from + bytes * inputs(comm, header.verb));
    if (header.verb == Verb::send)
      post(comm.world[static_cast<std::size_t>(header.root)], tag_of(comm, points), std::move(message));
    else if (header.verb != Verb::receive)
      for (const int member : comm.world) post(member, tag_of(comm, collectives), message);
  }
  if (header.verb == Verb::send) return true;
  if (header.verb == Verb::receive) {
    const auto message = take(comm.world[static_cast<std::size_t>(header.root)], tag_of(comm, points));
    if (!message) return false;
    const Header theirs = value_of<Header>(*message);
    if (theirs.count != header.count || theirs.type != header.type) {
      comm.fail(ncclInvalidUsage, fmt::format("a receive met a send of {} elements", theirs.count));
      return false;
    }
    std::memcpy(operation.to, message->data() + sizeof(Header), bytes);
    return true;
  }
  operation.heard.resize(comm.world.size());
  bool all = true;
  for (std::size_t member = 0; member < comm.world.size(); ++member) {
    auto& heard = operation.heard[member];
    if (!heard) heard = take(comm.world[member], tag_of(comm, collectives));
    all = all && heard;
    if (heard && value_of<Header>(*heard) != header) {
      const Header theirs = value_of<Header>(*heard);
      comm.fail(ncclInvalidUsage, fmt::format("rank {} calls {} of {}, rank {} {} of {}", comm.rank,
                                              kVerbs[static_cast<int>(header.verb)], header.count, member,
                                              kVerbs[static_cast<int>(theirs.verb)], theirs.count));
      return false;
    }
  }
  if (!all) return false;
  const auto own = static_cast<std::size_t>(comm.rank);
  switch (header.verb) {
    case Verb::all_reduce:
      reduce_into(operation, 0);
      break;
    case Verb::reduce_scatter:
      reduce_into(operation, own * header.count);
      break;
    case Verb::broadcast:
      std::memcpy(operation.to, operation.heard[static_cast<std::size_t>(header.root)]->data() + sizeof(Header), bytes);
      break;
    default:
      for (std::size_t member = 0; member < comm.world.size(); ++member)
        std::memcpy(static_cast<std::byte*>(operation.to) + member * bytes,
                    operation.heard[member]->data() + sizeof(Header), bytes);
  }
  return true;
}

// One launch on a stream: a call, or all calls of a group.
struct Launch {
  std::shared_ptr<Comm> comm;
  std::vector<Operation> operations;
  bool started = false;

  bool run() {
    if (comm->aborted) return true;
    if (comm->state != ncclSuccess && comm->state != ncclInProgress) return false;
    if (!started && faults().async != ncclSuccess && collectives_run >= faults().async_after) {
      comm->fail(faults().async, "the stand-in was told to");
      return false;
    }
    started = true;
    bool all = true, collectives_wait = false;
    for (Operation& operation : operations) {
      if (operation.done) continue;
      const bool point = is_point(operation.header.verb);
      // Messages of a member come in order: one collective after another, while sends and receives go on.
      if (point || !collectives_wait) operation.done = advance(*comm, operation);
      if (!operation.done) {
        all = false;
        collectives_wait = collectives_wait || !point;
        if (point && operation.header.verb == Verb::receive) continue;
      }
    }
    if (all) {
      --comm->outstanding;
      ++collectives_run;
    }
    return all;
  }
};

int group_depth = 0;
struct Grouped {
  Comm* comm;
  cudaStream_t stream;
  Operation operation;
};
std::vector<Grouped> grouped;

void launch_operations(Comm* comm, cudaStream_t stream, std::vector<Operation> operations) {
  auto launched = std::make_shared<Launch>();
  for (const auto& owned : all_comms)
    if (owned.get() == comm) launched->comm = owned;
  launched->operations = std::move(operations);
  ++comm->outstanding;
  comm->busy = 2;  // as a first call that connects
  enqueue(stream, [launched] { return launched->run(); });
}

ncclResult_t call(ncclComm_t handle, cudaStream_t stream, Header header, const void* from, void* to) {
  Comm* const comm = comm_of(handle);
  if (!comm) return ncclInvalidArgument;
  if (faults().call != ncclSuccess) return comm->error = "the stand-in was told to", faults().call;
  if (comm->state != ncclSuccess || comm->busy > 0 || comm->finalized) {
    comm->error = "called while another call is in progress, or after an error";
    return ncclInvalidUsage;
  }
  const auto reduce = static_cast<ncclRedOp_t>(header.reduce);
  const std::size_t bytes = bytes_in(header);
  if (!known(static_cast<ncclDataType_t>(header.type)) || header.root < 0 || header.root >= comm->size ||
      (reduce != ncclSum && reduce != ncclMax && reduce != ncclMin) ||
      (inputs(*comm, header.verb) > 0 && !is_device_memory(from, bytes * inputs(*comm, header.verb))) ||
      (outputs(*comm, header.verb) > 0 && !is_device_memory(to, bytes * outputs(*comm, header.verb)))) {
    comm->error = "an argument is out of range, or memory is not the device's";
    return ncclInvalidArgument;
  }
  recorded.push_back(fmt::format("{} {} {} of members {}", kVerbs[static_cast<int>(header.verb)], header.type,
                                 header.count, fmt::join(comm->world, " ")));
  Operation operation{header, from, to, {}};
  if (group_depth > 0) {
    grouped.push_back({comm, stream, std::move(operation)});
    return ncclSuccess;
  }
  std::vector<Operation> one;
  one.push_back(std::move(operation));
  launch_operations(comm, stream, std::move(one));
  return ncclInProgress;
}

}  // namespace

void cuda_counts(Counts& counts);
void cuda_reset();

Counts counts() {
  Counts result;
  cuda_counts(result);
  result.comms = static_cast<int>(alive.size());
  result.destroyed = destroyed;
  result.aborted = aborted;
  return result;
}

std::vector<std::string> calls() {
  return recorded;
}

void reset() {
  cuda_reset();
  recorded.clear();
  destroyed = aborted = 0;
  collectives_run = 0;
}

}  // namespace polyhead::stand_in

using namespace polyhead::stand_in;

ncclResult_t ncclGetVersion(int* version) {
  *version = faults().version;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  constexpr const char* kWords[] = {"no error",
                                    "unhandled cuda error",
                                    "unhandled system error",
                                    "internal error",
                                    "invalid argument",
                                    "invalid usage",
                                    "remote process exited or there was a network error",
                                    "in progress"};
  return kWords[result];
}

const char* ncclGetLastError(ncclComm_t handle) {
  const Comm* const comm = comm_of(handle);
  return comm ? comm->error.c_str() : "";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (faults().unique_id != ncclSuccess) return faults().unique_id;
  static int made = 0;
  int me = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &me);
  const Id mine{kMagic, me, me * 1000 + ++made};
  std::memset(id, 0, sizeof *id);
  std::memcpy(id->internal, &mine, sizeof mine);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* handle, int size, ncclUniqueId unique, int rank, ncclConfig_t* config) {
  Id id{};
  std::memcpy(&id, unique.internal, sizeof id);
  if (id.magic != kMagic || rank < 0 || rank >= size || config->blocking != 0) return ncclInvalidArgument;
  auto comm = std::make_shared<Comm>();
  comm->rank = rank;
  comm->size = size;
  comm->tag = id.tag;
  comm->creator = id.creator;
  comm->joined.assign(static_cast<std::size_t>(size), -1);
  *handle = comm.get();
  alive.insert(comm.get());
  int me = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &me);
  if (!faults().never_connects) post(id.creator, tag_of(*comm, joining), bytes_of(Join{rank, size, me}));
  all_comms.push_back(std::move(comm));
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* state) {
  Comm* const comm = comm_of(handle);
  if (!comm) return ncclInvalidArgument;
  if (comm->creator && comm->state == ncclInProgress) connect(*comm);
  if (comm->leaving >= 0 && comm->state == ncclInProgress) leave(*comm);
  *state = comm->state;
  if (comm->state == ncclSuccess && comm->busy > 0) {
    --comm->busy;
    *state = ncclInProgress;
  }
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t handle) {
  Comm* const comm = comm_of(handle);
  if (!comm || comm->state != ncclSuccess || comm->busy > 0 || comm->outstanding > 0) return ncclInvalidUsage;
  if (faults().finalize != ncclSuccess) return faults().finalize;
  comm->state = ncclInProgress;
  comm->leaving = comm->size;
  for (const int member : comm->world) post(member, tag_of(*comm, farewells), Bytes(1));
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t handle) {
  Comm* const comm = comm_of(handle);
  if (!comm || !comm->finalized) return ncclInvalidUsage;
  alive.erase(handle);
  ++destroyed;
  return ncclSuccess;
}

// By a thread while the one that owns the rest waits.
ncclResult_t ncclCommAbort(ncclComm_t handle) {
  if (faults().abort_hangs) std::this_thread::sleep_for(std::chrono::hours(1));
  Comm* const comm = comm_of(handle);
  if (!comm) return ncclInvalidArgument;
  comm->aborted = true;
  alive.erase(handle);
  ++aborted;
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t reduce,
                           ncclComm_t comm, cudaStream_t stream) {
  return call(comm, stream, {Verb::all_reduce, type, reduce, 0, count}, from, to);
}

ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  return call(comm, stream, {Verb::broadcast, type, ncclSum, root, count}, from, to);
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return call(comm, stream, {Verb::all_gather, type, ncclSum, 0, count}, from, to);
}

ncclResult_t ncclReduceScatter(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t reduce,
                               ncclComm_t comm, cudaStream_t stream) {
  return call(comm, stream, {Verb::reduce_scatter, type, reduce, 0, count}, from, to);
}

ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return call(comm, stream, {Verb::send, type, ncclSum, peer, count}, from, nullptr);
}

ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return call(comm, stream, {Verb::receive, type, ncclSum, peer, count}, nullptr, to);
}

ncclResult_t ncclGroupStart() {
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group_depth == 0) return ncclInvalidUsage;
  if (--group_depth > 0 || grouped.empty()) return ncclSuccess;
  std::vector<Operation> operations;
  Comm* const comm = grouped.front().comm;
  cudaStream_t const stream = grouped.front().stream;
  for (Grouped& one : grouped) {
    if (one.comm != comm || one.stream != stream) return ncclInvalidUsage;  // the backend does not mix them
    operations.push_back(std::move(one.operation));
  }
  grouped.clear();
  launch_operations(comm, stream, std::move(operations));
  return ncclInProgress;
}
