// Stands in for the nccl backend's libraries in a program built without CUDA.
#include "distributed/communicator/libraries.h"

namespace polyhead {

std::vector<Library> device_libraries() {
  return {{.name = "NCCL", .note = "built without it"}, {.name = "CUDA", .note = "built without it: the CPU only"}};
}

Devices find_devices() {
  return {};
}

}  // namespace polyhead
