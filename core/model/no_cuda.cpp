// For builds without CUDA: supports the CPU only, and reports that.
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/model/device.h"

namespace polyhead {

torch::Device choose_device(const std::string& name, int) {
  if (name == "cpu") return torch::kCPU;
  if (name == "cuda")
    throw Error(
        Exit::config,
        "run.device = cuda: this program was built without CUDA; build the preset cuda (./launch/setup --preset "
        "cuda), or use run.device = cpu");
  throw Error(Exit::config, fmt::format("run.device = {}: use auto, cpu or cuda", name));
}

std::string resolve_device(const std::string& name) {
  return name == "auto" ? "cpu" : name;
}

void* stream_of(torch::Device) {
  return nullptr;
}

}  // namespace polyhead
