// Which MPI, NCCL and CUDA these are, and the CUDA devices that this process sees. Implemented by each backend.
#pragma once

#include <string>
#include <vector>

#include "core/base/library.h"

namespace polyhead {

// MPI's thread level is told once MPI runs, which it does in a world of make_mpi_communicator.
Library mpi_library();
std::vector<Library> device_libraries();  // NCCL and CUDA

struct Devices {
  std::vector<std::string> names;  // "NVIDIA H100 80GB HBM3, 79 GiB"; [device]
  std::string fault, cure;         // why CUDA finds none in a program that is built for it
};
Devices find_devices();

}  // namespace polyhead
