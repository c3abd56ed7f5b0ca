// The layer that calls NCCL: one communicator, with collectives on pointers, counts, types and a stream. It uses
// neither device memory nor other libraries, so that tests can replace NCCL.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <span>
#include <vector>

#include "distributed/communicator/communicator.h"

namespace polyhead {

ncclDataType_t nccl_type_of(DType type);

// The communicator is non-blocking: calls return while NCCL still connects, and are waited for with a deadline, so that
// a missing member is an error and not a hang. After an error, which throws, only abort() may be called.
class NcclComm {
 public:
  // Collective over the `size` members with the same `id`. Throws Error(hang) if they do not arrive in `timeout`
  // seconds.
  NcclComm(const ncclUniqueId& id, int rank, int size, double timeout);
  // Finalises and destroys the communicator, for which NCCL waits for all members. During an exception it does nothing,
  // as the other members may not come.
  ~NcclComm();
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  // These enqueue on `stream`, in place or not, and return. ncclAvg is not used: gradients are scaled before a plain
  // sum.
  void all_reduce(std::span<const Range> ranges, ncclDataType_t type, ncclRedOp_t reduce, cudaStream_t stream);
  void broadcast(void* data, std::size_t count, ncclDataType_t type, int root, cudaStream_t stream);
  void all_gather(const void* mine, void* all, std::size_t count, ncclDataType_t type, cudaStream_t stream);
  void reduce_scatter(const void* all, void* mine, std::size_t count, ncclDataType_t type, ncclRedOp_t reduce,
                      cudaStream_t stream);
  void all_to_all(std::span<const Range> send, std::span<const Range> receive, ncclDataType_t type,
                  cudaStream_t stream);

  // Throws if NCCL has reported an error since the last call.
  void check();

  // Aborts communicators whose members may be gone, which also ends their work on the device. NCCL was seen to wait for
  // ever if other members do not abort, so this waits at most `seconds` and then leaves the call to a separate thread.
  // Returns whether the call ended.
  static bool abort(std::span<NcclComm* const> comms, int device, double seconds);

 private:
  void settle(const char* doing);  // waits until NCCL no longer says ncclInProgress

  ncclComm_t comm_ = nullptr;
  int rank_, size_;
  double timeout_;
};

}  // namespace polyhead
