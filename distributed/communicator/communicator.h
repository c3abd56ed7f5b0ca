// A group of workers and its collectives. Backends: local (a world of one), mpi. A world of one is an ordinary group.
//
// Every collective takes a name and passes one funnel, which numbers, times and records it; the watchdog, the timeline
// and mismatch messages read that record. All members of a group must call the same collectives in the same order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

enum class DType { u8, i32, i64, u64, f32, f64 };
std::size_t size_of(DType type);

enum class Reduce { sum, max, min };

// One call of a collective, as the funnel saw it.
struct CollectiveRecord {
  std::uint64_t number = 0;  // counts from 1 within the group
  std::string name;          // "all_reduce encoder.gradient"
  std::size_t bytes = 0;
  double entered = 0, left = 0;  // seconds of the steady clock; left = 0: still inside
};

// Memory that its group reduces in place. Where all members are on one host they map each other's, and all_reduce of a
// range inside needs no copy (measured: a third to a sixth of the CPU time of MPI_Allreduce); elsewhere it is plain
// memory. Made by all members together; a member may destroy its own at any time.
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

  // In place over `count` elements at `data` (host memory). Results are the same bits on every member; a NaN on any
  // member is a NaN for all, maxima and minima included. Sums of integers wrap. `data` may lie inside a SharedBuffer of
  // this group, then at the same place on every member.
  void all_reduce(std::string_view name, void* data, std::size_t count, DType type, Reduce reduce);
  // From `root` to all.
  void broadcast(std::string_view name, void* data, std::size_t count, DType type, int root);
  // `count` elements of each member, one after another by rank, into `all` (count x size elements).
  void all_gather(std::string_view name, const void* mine, void* all, std::size_t count, DType type);
  void barrier(std::string_view name);
  // Members with the same color form a group, ordered by rank; color < 0: in no group, gets null. Collective over all
  // members.
  std::unique_ptr<Communicator> split(std::string_view name, int color);
  // `bytes` of memory for every member. Collective.
  std::unique_ptr<SharedBuffer> allocate(std::string_view name, std::size_t bytes);
  // Ends all processes of the job with this exit code; never returns. For errors that the others cannot see.
  [[noreturn]] virtual void abort(int code) = 0;

  // The newest calls, oldest first (at most 256). May be called by any thread.
  std::deque<CollectiveRecord> record() const;

  // Convenience for single values.
  void all_reduce(std::string_view name, std::vector<double>& values, Reduce reduce = Reduce::sum);
  void all_reduce(std::string_view name, std::vector<std::int64_t>& values, Reduce reduce = Reduce::sum);
  void all_reduce(std::string_view name, std::vector<std::uint64_t>& values, Reduce reduce = Reduce::sum);
  // Bytes of different lengths, gathered from all by rank.
  std::vector<std::string> all_gather_strings(std::string_view name, const std::string& mine);

 protected:
  Communicator() = default;
  virtual void do_all_reduce(void* data, std::size_t count, DType type, Reduce reduce) = 0;
  virtual void do_broadcast(void* data, std::size_t count, DType type, int root) = 0;
  virtual void do_all_gather(const void* mine, void* all, std::size_t count, DType type) = 0;
  virtual void do_barrier() = 0;
  virtual std::unique_ptr<Communicator> do_split(int color) = 0;
  virtual std::unique_ptr<SharedBuffer> do_allocate(std::size_t bytes) = 0;

 private:
  template <class Call>
  auto funnel(const char* verb, std::string_view name, std::size_t bytes, Call call);

  mutable std::mutex mutex_;  // of the record
  std::deque<CollectiveRecord> record_;
  std::uint64_t calls_ = 0;
};

// A world of one.
std::unique_ptr<Communicator> make_local_communicator();
// Zeroed plain memory of one process, for groups that cannot share.
std::unique_ptr<SharedBuffer> make_plain_buffer(std::size_t bytes);
// Whether the program was built with MPI.
bool mpi_available();
// The world of MPI: initialises MPI (thread level funneled) and finalises it when the last group is gone.
// Errors of MPI become exceptions with MPI's own words. `argc` and `argv` are main's. Keep the world outside of the
// block that catches exceptions and end with abort(): finalising waits for all members, so it is left out while an
// exception unwinds the last group.
std::unique_ptr<Communicator> make_mpi_communicator(int* argc, char*** argv);

}  // namespace polyhead
