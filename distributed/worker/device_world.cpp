// The watchdog limits how long a worker may wait for another, because it knows what the other worker does; NCCL has no
// limit.
#include "distributed/worker/device_world.h"

#include "core/model/device.h"
#include "distributed/communicator/nccl/nccl.h"

namespace polyhead {

std::unique_ptr<Communicator> make_device_world(Communicator& world, at::Device device, double init_timeout) {
  constexpr double kNever = 1e9;
  if (!device.is_cuda() || world.size() == 1) return nullptr;
  return make_nccl_communicator(
      world, {.device = device.index(), .stream = stream_of(device), .init_timeout = init_timeout, .timeout = kNever});
}

}  // namespace polyhead
