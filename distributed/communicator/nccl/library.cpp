// Reads NCCL's and CUDA's versions from their headers and from the libraries, and lists the devices.
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

#include "core/base/error.h"
#include "distributed/communicator/libraries.h"
#include "distributed/communicator/nccl/bootstrap.h"
#include "distributed/communicator/nccl/check.h"

namespace polyhead {
namespace {

std::string cuda_version_words(int version) {  // "13.0" for 13000
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

Library nccl_library() {
  Library library = {.name = "NCCL", .compiled = nccl_version_words(NCCL_VERSION_CODE)};
  int version = 0;
  if (ncclGetVersion(&version) == ncclSuccess) library.loaded = nccl_version_words(version);
  library.file = file_of(reinterpret_cast<const void*>(&ncclGetVersion));
  if (version < NCCL_VERSION_CODE) {
    library.fault = fmt::format("compiled with {}, but the older {} was loaded", library.compiled, library.loaded);
    library.cure = "remove the other one from LD_LIBRARY_PATH, or build again with its headers";
  }
  try {
    check_one_library(loaded_libraries("libnccl.so"));
  } catch (const Error& error) {
    library.fault = error.what();
    library.cure = "let only one libnccl.so.2 be found, the one of LibTorch";
  }
  return library;
}

}  // namespace

std::vector<Library> device_libraries() {
  Library cuda = {.name = "CUDA", .compiled = cuda_version_words(CUDART_VERSION)};
  int runtime = 0, driver = 0;
  if (cudaRuntimeGetVersion(&runtime) == cudaSuccess) cuda.loaded = cuda_version_words(runtime);
  cuda.file = file_of(reinterpret_cast<const void*>(&cudaRuntimeGetVersion));
  if (cudaDriverGetVersion(&driver) == cudaSuccess)
    cuda.note = driver == 0 ? "no driver" : "driver for up to " + cuda_version_words(driver);
  return {nccl_library(), cuda};
}

Devices find_devices() {
  Devices found;
  int count = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&count); code != cudaSuccess) {
    found.fault = fmt::format("CUDA finds no device: {}", cudaGetErrorString(code));
    found.cure =
        "check nvidia-smi and CUDA_VISIBLE_DEVICES; under Slurm request devices (--gpus-per-task=1); or train with "
        "run.device = cpu";
    return found;
  }
  for (int device = 0; device < count; ++device) {
    cudaDeviceProp properties = {};
    if (cudaGetDeviceProperties(&properties, device) == cudaSuccess)
      found.names.push_back(fmt::format("{}, {} GiB", properties.name, properties.totalGlobalMem >> 30));
    else
      found.names.emplace_back("does not answer");
  }
  return found;
}

}  // namespace polyhead
