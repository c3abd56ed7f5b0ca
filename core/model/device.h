// The device that a worker computes on. Implemented by device_cuda.cpp if the program is built for CUDA, and by
// no_cuda.cpp otherwise.
#pragma once

#include <string>

#include "core/model/torch.h"

namespace polyhead {

// Returns the device for "cpu" or "cuda". For cuda it is device number local_rank, or the only device that the process
// sees (a launcher may give each worker its own). Throws Error(config), which names the available devices and the cure.
torch::Device choose_device(const std::string& name, int local_rank);
// Replaces "auto" by cuda if the program was built for it and a device is available, otherwise by cpu.
std::string resolve_device(const std::string& name);
// Returns the cudaStream_t on which this thread's kernels run, or null for a CPU.
void* stream_of(torch::Device device);

}  // namespace polyhead
