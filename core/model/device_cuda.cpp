// CUDA devices, through LibTorch.
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/model/device.h"

namespace polyhead {

torch::Device choose_device(const std::string& name, int local_rank) {
  if (name == "cpu") return torch::kCPU;
  if (name != "cuda") throw Error(Exit::config, fmt::format("run.device = {}: use auto, cpu or cuda", name));
  const int devices = c10::cuda::device_count();
  const int number = devices == 1 ? 0 : local_rank;
  if (number >= devices)
    throw Error(
        Exit::config,
        fmt::format(
            "run.device = cuda: worker {} of this host finds {} CUDA devices; start at most one worker a device, "
            "check CUDA_VISIBLE_DEVICES and nvidia-smi, or use run.device = cpu",
            local_rank, devices));
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(number));
  return {torch::kCUDA, static_cast<c10::DeviceIndex>(number)};
}

std::string resolve_device(const std::string& name) {
  if (name != "auto") return name;
  return c10::cuda::device_count() > 0 ? "cuda" : "cpu";
}

void* stream_of(torch::Device device) {
  return device.is_cuda() ? c10::cuda::getCurrentCUDAStream(device.index()).stream() : nullptr;
}

}  // namespace polyhead
