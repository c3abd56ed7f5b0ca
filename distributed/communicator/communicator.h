// A group of workers and its collectives. Backends: local (a world of one), mpi, and nccl, which takes device memory
// to NCCL and host memory to the backend beneath it. A world of one is an ordinary group.
//
// Every collective takes a name and passes one funnel, which numbers and times it in the process's timeline; the
// watchdog, traces and mismatch messages read that record. All members of a group must call the same collectives in the
// same order.
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

// No 16-bit types: a sum of bf16 gradients loses bits with every member, so whoever holds them converts to f32 before
// and back after.
enum class DType { u8, i32, i64, u64, f32, f64 };
std::size_t size_of(DType type);

enum class Reduce { sum, max, min };

// Elements of one buffer among several.
struct Range {
  void* data = nullptr;
  std::size_t count = 0;
};

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

  // Memory is the host's; in a group of make_nccl_communicator it may be the device's too. Collectives on device memory
  // are enqueued: they come after what the caller's stream holds, and join() or synchronize() waits for them.

  // In place over `count` elements at `data`. Results are the same bits on every member; a NaN on any member is a NaN
  // for all, maxima and minima included. Sums of integers wrap. `data` may lie inside a SharedBuffer of this group,
  // then at the same place on every member.
  void all_reduce(std::string_view name, void* data, std::size_t count, DType type, Reduce reduce);
  // The same over several buffers in one call.
  void all_reduce(std::string_view name, std::span<const Range> ranges, DType type, Reduce reduce);
  // From `root` to all.
  void broadcast(std::string_view name, void* data, std::size_t count, DType type, int root);
  // `count` elements of each member, one after another by rank, into `all` (count x size elements); `mine` may be its
  // own place there.
  void all_gather(std::string_view name, const void* mine, void* all, std::size_t count, DType type);
  // `all` holds `count` elements for each member, by rank; `mine` becomes the reduction of those for this one.
  void reduce_scatter(std::string_view name, const void* all, void* mine, std::size_t count, DType type, Reduce reduce);
  // send[i] goes to member i, receive[i] comes from it; the two of a pair have equal counts, which may be 0.
  void all_to_all(std::string_view name, std::span<const Range> send, std::span<const Range> receive, DType type);
  // Also waits for the device, as synchronize().
  void barrier(std::string_view name);
  // Makes the caller's stream wait for everything enqueued so far, by this group and those of the same world. Not
  // collective; the host goes on.
  virtual void join() {}
  // The host waits for everything enqueued so far and watches it: throws Error(internal) where NCCL reports an error,
  // Error(hang) where it takes longer than allowed. Not collective.
  void synchronize(std::string_view name);
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
  virtual void do_all_reduce_ranges(std::span<const Range> ranges, DType type, Reduce reduce);
  virtual void do_all_gather(const void* mine, void* all, std::size_t count, DType type) = 0;
  virtual void do_reduce_scatter(const void* all, void* mine, std::size_t count, DType type, Reduce reduce) = 0;
  virtual void do_all_to_all(std::span<const Range> send, std::span<const Range> receive, DType type) = 0;
  virtual void do_barrier() = 0;
  virtual void do_synchronize() {}
  virtual std::unique_ptr<Communicator> do_split(int color) = 0;
  virtual std::unique_ptr<SharedBuffer> do_allocate(std::size_t bytes) = 0;

 private:
  friend class NcclCommunicator;  // hands host memory to the backend beneath, which need not record it again

  template <class Call>
  auto funnel(const char* verb, std::string_view name, std::size_t bytes, Call call);

  std::uint64_t group_ = 1;  // id: the same on all members; of a world 1
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

// What a group for device memory needs to know.
struct DeviceOptions {
  int device = 0;             // number of this worker's CUDA device; no two workers may have the same
  void* stream = nullptr;     // cudaStream_t of the caller's kernels
  double init_timeout = 300;  // seconds to wait for the other workers at the start
  double timeout = 600;       // seconds that synchronize() waits
};

// The same group as `host`, which must outlive it, for device memory too; collective. Its collectives on device memory
// run on a stream of their own, in the order of calls, which must be the same on all members. Throws Error(config) on
// all members when one lacks its device, two share one, or NCCL is not of one version; and where the program was built
// without CUDA.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, const DeviceOptions& options);

}  // namespace polyhead
