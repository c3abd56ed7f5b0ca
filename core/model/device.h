// The device a worker computes on. device_cuda.cpp where the program is built for CUDA, no_cuda.cpp beside it
// otherwise.
#pragma once

#include <string>

#include "core/model/torch.h"

namespace polyhead {

// "cpu" or "cuda": device number local_rank, or the one device where the process sees no other (a launcher may show
// each worker its own). Throws Error(config) naming what there is and the cure.
torch::Device choose_device(const std::string& name, int local_rank);
// "auto" becomes cuda where the program was built for it and a device is there, else cpu.
std::string resolve_device(const std::string& name);
// The cudaStream_t that this thread's kernels run on; null on a CPU.
void* stream_of(torch::Device device);

}  // namespace polyhead
