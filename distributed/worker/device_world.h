// The communicator of gradients that are on CUDA devices.
#pragma once

#include <memory>

#include <ATen/Device.h>

#include "distributed/communicator/communicator.h"

namespace polyhead {

// Returns an NCCL communicator of all workers, or null if `world` is enough: for a device without CUDA, or one worker.
// Collective. init_timeout: seconds in which all workers must have joined. Throws Error as make_nccl_communicator does.
std::unique_ptr<Communicator> make_device_world(Communicator& world, at::Device device, double init_timeout);

}  // namespace polyhead
