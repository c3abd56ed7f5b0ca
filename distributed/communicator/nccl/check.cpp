// Errors of NCCL and CUDA as exceptions.
#include "distributed/communicator/nccl/check.h"

#include <fmt/format.h>

#include <cstring>

#include "core/base/error.h"

namespace polyhead {
namespace {

const char* base_name(const char* file) {
  const char* slash = std::strrchr(file, '/');
  return slash ? slash + 1 : file;
}

const char* hint_of(ncclResult_t code) {
  switch (code) {
    case ncclUnhandledCudaError:
      return "a CUDA call inside NCCL failed: NCCL_DEBUG=WARN shows which, dmesg shows whether a device is broken "
             "(Xid)";
    case ncclSystemError:
      return "a socket or shared memory failed: NCCL_DEBUG=WARN shows which; NCCL_SOCKET_IFNAME chooses the network "
             "interface, and containers need --shm-size=1g --ulimit memlock=-1";
    case ncclInternalError:
      return "NCCL_DEBUG=WARN shows more; two NCCL libraries in one process can cause this";
    case ncclInvalidArgument:
    case ncclInvalidUsage:
      return "the workers called different collectives, gave different counts, or share a device";
    case ncclRemoteError:
      return "another worker ended or the network to it broke: its own message shows the cause";
    default:
      return "NCCL_DEBUG=WARN shows more";
  }
}

}  // namespace

std::string nccl_version_words(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

void throw_cuda_error(cudaError_t code, const char* expression, const char* file, int line) {
  throw Error(Exit::internal, fmt::format("CUDA reports \"{}\" [{}, {}:{}]", cudaGetErrorString(code), expression,
                                          base_name(file), line));
}

void throw_nccl_error(ncclResult_t code, ncclComm_t comm, const char* expression, const char* file, int line) {
  const char* const last = ncclGetLastError(comm);
  throw Error(Exit::internal, fmt::format("NCCL reports \"{}\"{}{}; {} [{}, {}:{}]", ncclGetErrorString(code),
                                          last && *last ? ": " : "", last ? last : "", hint_of(code), expression,
                                          base_name(file), line));
}

}  // namespace polyhead
