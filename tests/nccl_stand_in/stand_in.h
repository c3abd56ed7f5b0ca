// Stands in for NCCL and the CUDA runtime in tests of the nccl backend: the calls that the backend makes, on host
// memory over MPI, and faults on demand. It tests our code, not NCCL.
//
// A stream runs nothing until somebody asks for its end, and then no more than must come before: work that no event
// orders has not run when it is needed, so a forgotten event is a wrong result. A communicator compares the calls of
// its members where NCCL would hang. One thread, except for ncclCommAbort.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace polyhead::stand_in {

// Of this process.
struct Faults {
  int version = NCCL_VERSION_CODE;  // what ncclGetVersion tells
  int devices = 8;                  // what cudaGetDeviceCount tells; below 0: fails
  std::string bus;                  // where every device is, if not empty
  ncclResult_t unique_id = ncclSuccess;
  bool never_connects = false;       // ncclCommInitRankConfig is in progress for ever
  ncclResult_t call = ncclSuccess;   // what calls that enqueue return
  ncclResult_t async = ncclSuccess;  // found while collectives run, which do not end then
  std::uint64_t async_after = 0;     // collectives that run well before
  ncclResult_t finalize = ncclSuccess;
  bool abort_hangs = false;
  cudaError_t query = cudaSuccess;  // what cudaStreamQuery tells: a kernel that failed
};
Faults& faults();

// What is there now, and what has been, since reset().
struct Counts {
  int comms = 0, streams = 0, events = 0;  // alive
  int destroyed = 0, aborted = 0;          // communicators
  int undone = 0;                          // streams destroyed with work on them
};
Counts counts();
// Calls of NCCL that enqueue, in order: "all_reduce 7 100 of members 0 1" (7: ncclFloat32).
std::vector<std::string> calls();
// No faults, no calls, nothing destroyed.
void reset();

// A kernel.
void launch(cudaStream_t stream, std::function<void()> kernel);
// Whether everything on the stream has run within `seconds`.
bool run(cudaStream_t stream, double seconds = 30);

// Memory that the stand-in holds for the device's.
class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(bytes_.data());
  }

 private:
  std::vector<std::byte> bytes_;
};

// For nccl.cpp: whether all of a buffer is device memory; a piece of work that says whether it has ended.
bool is_device_memory(const void* begin, std::size_t bytes);
void enqueue(cudaStream_t stream, std::function<bool()> work);

}  // namespace polyhead::stand_in
