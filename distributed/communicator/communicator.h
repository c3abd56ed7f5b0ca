// A group of workers and its collectives. There are three backends: local (a world of one), mpi, and nccl, which uses
// NCCL for device memory and another backend for host memory. A world of one is an ordinary group.
//
// Every collective has a name and goes through one function, which numbers it and records its times in the process's
// timeline. The watchdog, traces and messages about mismatches read that record. All members of a group must call the
// same collectives in the same order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// There are no 16-bit types, as a sum of bf16 gradients loses precision with every member. A caller with such values
// converts them to f32 before the call and back after it.
enum class DType { u8, i32, i64, u64, f32, f64 };
std::size_t size_of(DType type);

enum class Reduce { sum, max, min };

// A range of elements in one buffer.
struct Range {
  void* data = nullptr;
  std::size_t count = 0;
};

// The record of one call of a collective.
struct CollectiveRecord {
  std::uint64_t number = 0;  // counts from 1 within the group
  std::string name;          // "all_reduce encoder.gradient"
  std::size_t bytes = 0;
  double entered = 0, left = 0;  // seconds of the steady clock; left = 0: still inside
};

// Memory that a group can reduce in place. If all members are on one host, they map each other's buffers, and
// all_reduce of a range inside needs no copy (measured: a third to a sixth of the CPU time of MPI_Allreduce). Otherwise
// it is ordinary memory. All members create it together; each may destroy its own at any time.
class SharedBuffer {
 public:
  virtual ~SharedBuffer() = default;
  SharedBuffer(const SharedBuffer&) = delete;
  SharedBuffer& operator=(const SharedBuffer&) = delete;

  void* data() const { return data_; }  // zeroed at first, 64-byte aligned
  std::size_t bytes() const { return bytes_; }
  bool shared() const { return shared_; }  // mapped by all members

 protected:
  SharedBuffer(void* data, std::size_t bytes, bool shared) : data_(data), bytes_(bytes), shared_(shared) {}

 private:
  void* data_;
  std::size_t bytes_;
  bool shared_;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Pointers are to host memory, or in a group of make_nccl_communicator also to device memory. Collectives on device
  // memory are enqueued: they run after the work that is already in the caller's stream, and join() or synchronize()
  // waits for them.

  // Reduces `count` elements at `data` in place. The results are bitwise equal on all members. A NaN on any member
  // gives a NaN on all, also for maxima and minima. Sums of integers wrap. `data` may be inside a SharedBuffer of this
  // group, at the same offset on every member.
  void all_reduce(std::string_view name, void* data, std::size_t count, DType type, Reduce reduce);
  // The same for several buffers in one call.
  void all_reduce(std::string_view name, std::span<const Range> ranges, DType type, Reduce reduce);
  // From `root` to all.
  void broadcast(std::string_view name, void* data, std::size_t count, DType type, int root);
  // Gathers `count` elements of each member into `all` (count x size elements, ordered by rank). `mine` may be this
  // member's part of `all`.
  void all_gather(std::string_view name, const void* mine, void* all, std::size_t count, DType type);
  // `all` holds `count` elements for each member, ordered by rank. `mine` becomes the reduction of those for this
  // member.
  void reduce_scatter(std::string_view name, const void* all, void* mine, std::size_t count, DType type, Reduce reduce);
  // Sends send[i] to member i and receives receive[i] from it. Both sides of a pair have equal counts, which may be 0.
  void all_to_all(std::string_view name, std::span<const Range> send, std::span<const Range> receive, DType type);
  // Also waits for the device, as synchronize().
  void barrier(std::string_view name);
  // Makes the caller's stream wait for everything enqueued so far by this group and the others of its world. Not
  // collective, and does not block the host.
  virtual void join() {}
  // Blocks the host until everything enqueued so far has run. Throws Error(internal) if NCCL reports an error,
  // Error(hang) if it takes longer than the timeout. Not collective.
  void synchronize(std::string_view name);
  // Members with the same color form a new group, ordered by rank. A member with color < 0 joins no group and gets
  // null. Collective.
  std::unique_ptr<Communicator> split(std::string_view name, int color);
  // Creates a shared buffer with `bytes` of memory for each member. Collective.
  std::unique_ptr<SharedBuffer> allocate(std::string_view name, std::size_t bytes);
  // Ends all processes of the job with this exit code; never returns. For errors that only this process has.
  [[noreturn]] virtual void abort(int code) = 0;

  // Returns the newest calls (at most 256), oldest first. Any thread may call it.
  std::deque<CollectiveRecord> record() const;

  // All-reduce of a single value.
  void all_reduce(std::string_view name, std::vector<double>& values, Reduce reduce = Reduce::sum);
  void all_reduce(std::string_view name, std::vector<std::int64_t>& values, Reduce reduce = Reduce::sum);
  void all_reduce(std::string_view name, std::vector<std::uint64_t>& values, Reduce reduce = Reduce::sum);
  // Gathers a string from each member, ordered by rank. The lengths may differ.
  std::vector<std::string> all_gather_strings(std::string_view name, const std::string& mine);

 protected:
  Communicator() = default;
  virtual void do_all_reduce(void* data, std::size_t count, DType type, Reduce reduce) = 0;
  virtual void do_broadcast(void* data, std::size_t count, DType type, int root) = 0;
  virtual void do_all_reduce_ranges(std::span<const Range> ranges, DType type, Reduce reduce);
  virtual void do_all_gather(const void* mine, void* all, std::size_t count, DType type) = 0;
  virtual void do_reduce_scatter(const void* all, void* mine, std::size_t count, DType type, Reduce reduce) = 0;
  virtual void do_all_to_all(std::span<const Range> send, std::span<const Range> receive, DType type) = 0;
  virtual void do_barrier() = 0;
  virtual void do_synchronize() {}
  virtual std::unique_ptr<Communicator> do_split(int color) = 0;
  virtual std::unique_ptr<SharedBuffer> do_allocate(std::size_t bytes) = 0;

 private:
  friend class NcclCommunicator;  // passes host memory to its host backend without recording the call twice

  template <class Call>
  auto funnel(const char* verb, std::string_view name, std::size_t bytes, Call call);

  std::uint64_t group_ = 1;  // the group's id, equal on all members; 1 for a world
  std::uint64_t calls_ = 0;
};

// A world of one.
std::unique_ptr<Communicator> make_local_communicator();
// Zeroed memory of one process, for groups that cannot share memory.
std::unique_ptr<SharedBuffer> make_plain_buffer(std::size_t bytes);
// Whether the program was built with MPI.
bool mpi_available();
// The world of MPI. Initialises MPI (thread level funneled) and finalises it when the last group is destroyed.
// - Errors of MPI become exceptions that contain MPI's own message. `argc` and `argv` are those of main().
// - Keep the world outside of the block that catches exceptions, and end with abort() there: finalising waits for all
//   members, so it is skipped while an exception destroys the last group.
std::unique_ptr<Communicator> make_mpi_communicator(int* argc, char*** argv);

// Options of a group for device memory.
struct DeviceOptions {
  int device = 0;             // number of this worker's CUDA device; no two workers may have the same
  void* stream = nullptr;     // cudaStream_t of the caller's kernels
  double init_timeout = 300;  // seconds to wait for the other workers at the start
  double timeout = 600;       // seconds that synchronize() waits
};

// The same group as `host`, which must outlive it, also for device memory. Collective.
// - Collectives on device memory run in a stream of their own, in the order of the calls, which must be the same on all
//   members.
// - Throws Error(config) on all members if a member has no device, two share one, or the versions of NCCL differ, and
// if
//   the program was built without CUDA.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, const DeviceOptions& options);

}  // namespace polyhead
