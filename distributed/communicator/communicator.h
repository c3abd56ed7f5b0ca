// A group of workers and its collectives. Each backend is a folder next to this file, whose header has the function
// that makes its groups. A world of one is an ordinary group.
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
  // The memory of a member, as this process maps it; only for a buffer that is shared. What a member has written can be
  // read after both have called a collective.
  virtual std::byte* of(int /*member*/) const { return nullptr; }

 protected:
  SharedBuffer(void* data, std::size_t bytes, bool shared) : data_(data), bytes_(bytes), shared_(shared) {}

 private:
  void* data_;
  std::size_t bytes_;
  bool shared_;
};

class Communicator;

// The functions that a backend implements. Those of Communicator with the same names check their arguments, record the
// call and then call these. A backend that uses another one calls these of the other group, so that a call is recorded
// once.
class Backend {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual void do_all_reduce(void* data, std::size_t count, DType type, Reduce reduce) = 0;
  virtual void do_broadcast(void* data, std::size_t count, DType type, int root) = 0;
  virtual void do_all_reduce_ranges(std::span<const Range> ranges, DType type, Reduce reduce);  // one after another
  virtual void do_all_gather(const void* mine, void* all, std::size_t count, DType type) = 0;
  virtual void do_reduce_scatter(const void* all, void* mine, std::size_t count, DType type, Reduce reduce) = 0;
  virtual void do_all_to_all(std::span<const Range> send, std::span<const Range> receive, DType type) = 0;
  virtual void do_barrier() = 0;
  virtual void do_synchronize() {}
  virtual std::unique_ptr<Communicator> do_split(int color) = 0;
  virtual std::unique_ptr<SharedBuffer> do_allocate(std::size_t bytes) = 0;

 protected:
  Backend() = default;
};

class Communicator : protected Backend {
 public:
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // The group's id in the timeline, equal on all members; 1 for a world.
  std::uint64_t group() const { return group_; }

  // Pointers are to host memory, or in a group of a backend for devices also to device memory. Collectives on device
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
  // Creates a shared buffer with `bytes` of memory for this member; the others may ask for more or less. Collective.
  std::unique_ptr<SharedBuffer> allocate(std::string_view name, std::size_t bytes);
  // Ends all processes of the job with this exit code; never returns. For errors that only this process has.
  [[noreturn]] virtual void abort(int code) = 0;

  // Returns the newest calls (at most 256), oldest first. Any thread may call it.
  std::deque<CollectiveRecord> record() const;

  // All-reduce of the elements of a vector.
  void all_reduce(std::string_view name, std::vector<double>& values, Reduce reduce = Reduce::sum);
  void all_reduce(std::string_view name, std::vector<std::int64_t>& values, Reduce reduce = Reduce::sum);
  void all_reduce(std::string_view name, std::vector<std::uint64_t>& values, Reduce reduce = Reduce::sum);
  // Gathers a string from each member, ordered by rank. The lengths may differ.
  std::vector<std::string> all_gather_strings(std::string_view name, const std::string& mine);

 protected:
  explicit Communicator(std::uint64_t group = 1) : group_(group) {}

 private:
  template <class Call>
  auto funnel(const char* verb, std::string_view name, std::size_t bytes, Call call);

  std::uint64_t group_;
  std::uint64_t calls_ = 0;
};

}  // namespace polyhead
