// The nccl backend: device memory goes to NCCL, host memory to the group that it is built on.
#pragma once

#include <memory>

#include "distributed/communicator/communicator.h"

namespace polyhead {

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
//   if the program was built without CUDA.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, const DeviceOptions& options);

}  // namespace polyhead
