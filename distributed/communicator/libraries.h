// The versions of MPI, NCCL and CUDA, and the CUDA devices that this process sees. Each backend implements its part.
#pragma once

#include <string>
#include <vector>

#include "core/base/library.h"

namespace polyhead {

// The result has MPI's thread level if MPI is initialised, that is, in a world of make_mpi_communicator.
Library mpi_library();
std::vector<Library> device_libraries();  // NCCL and CUDA

struct Devices {
  std::vector<std::string> names;  // "NVIDIA H100 80GB HBM3, 79 GiB"; [device]
  std::string fault, cure;         // why a program that is built for CUDA finds no device, and what to do
};
Devices find_devices();

}  // namespace polyhead
