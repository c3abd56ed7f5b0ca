// Stands in for the nccl backend in a program built without CUDA.
#include "core/base/error.h"
#include "distributed/communicator/nccl/nccl.h"

namespace polyhead {

std::unique_ptr<Communicator> make_nccl_communicator(Communicator&, const DeviceOptions&) {
  throw Error(Exit::config,
              "workers were asked to exchange device memory, but this program was built without CUDA: build the preset "
              "cuda (./launch/setup --preset cuda), or use run.device = cpu");
}

}  // namespace polyhead
