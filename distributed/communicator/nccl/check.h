// Checks calls of NCCL and CUDA: an error becomes an exception that contains the library's own message and, if it is
// known, what to do.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <string>

namespace polyhead {

[[noreturn]] void throw_cuda_error(cudaError_t code, const char* expression, const char* file, int line);
// `comm` may be null.
[[noreturn]] void throw_nccl_error(ncclResult_t code, ncclComm_t comm, const char* expression, const char* file,
                                   int line);
// Returns "2.28.9" for 22809.
std::string nccl_version_words(int version);

}  // namespace polyhead

#define POLYHEAD_CUDA_CHECK(expression)                                         \
  do {                                                                          \
    if (const cudaError_t cuda_code = (expression); cuda_code != cudaSuccess)   \
      ::polyhead::throw_cuda_error(cuda_code, #expression, __FILE__, __LINE__); \
  } while (false)

// ncclInProgress is not an error: a non-blocking communicator returns it from most calls, and NcclComm::settle() waits.
#define POLYHEAD_NCCL_CHECK(comm, expression)                                           \
  do {                                                                                  \
    const ncclResult_t nccl_code = (expression);                                        \
    if (nccl_code != ncclSuccess && nccl_code != ncclInProgress)                        \
      ::polyhead::throw_nccl_error(nccl_code, (comm), #expression, __FILE__, __LINE__); \
  } while (false)
