// The layer that calls NCCL: one communicator, its collectives on pointers, counts, types and a stream. It knows no
// device memory and no other library, so a test can put anything beneath it.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <span>
#include <vector>

#include "distributed/communicator/communicator.h"

namespace polyhead {

ncclDataType_t nccl_type_of(DType type);

// Does not block: calls return while NCCL still connects, and are waited for with a deadline, so that a member that is
// missing becomes an error instead of a hang. Errors throw and leave the communicator to abort().
class NcclComm {
 public:
  // Collective over the `size` members that hold `id`. Waits for them at most `timeout` seconds, then Error(hang).
  NcclComm(const ncclUniqueId& id, int rank, int size, double timeout);
  // Healthy: finalised and destroyed, for which NCCL waits for all members. While an exception unwinds: left to the end
  // of the process, as the others are elsewhere.
  ~NcclComm();
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  // Enqueue on `stream`, in place or not, and return. Never ncclAvg: gradients are scaled before a plain sum.
  void all_reduce(std::span<const Range> ranges, ncclDataType_t type, ncclRedOp_t reduce, cudaStream_t stream);
  void broadcast(void* data, std::size_t count, ncclDataType_t type, int root, cudaStream_t stream);
  void all_gather(const void* mine, void* all, std::size_t count, ncclDataType_t type, cudaStream_t stream);
  void reduce_scatter(const void* all, void* mine, std::size_t count, ncclDataType_t type, ncclRedOp_t reduce,
                      cudaStream_t stream);
  void all_to_all(std::span<const Range> send, std::span<const Range> receive, ncclDataType_t type,
                  cudaStream_t stream);

  // Throws what NCCL found since the last call.
  void check();

  // Gives communicators up whose members may be gone; what is on the device for them ends. Waits for NCCL at most
  // `seconds` and leaves it to a thread of its own then: it was seen to wait for ever where other members do not abort.
  // Returns whether it ended.
  static bool abort(std::span<NcclComm* const> comms, int device, double seconds);

 private:
  void settle(const char* doing);  // waits until NCCL no longer says ncclInProgress

  ncclComm_t comm_ = nullptr;
  int rank_, size_;
  double timeout_;
};

}  // namespace polyhead
