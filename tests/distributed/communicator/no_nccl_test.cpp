// Groups for device memory in a program without CUDA, and on a machine without the device.
#include <gtest/gtest.h>

#include "distributed/communicator/nccl/nccl.h"
#include "tests/distributed/world.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

TEST(NcclCommunicator, NeedsADevice) {
  testing::expect_contains(testing::error_of(Exit::config, [] { make_nccl_communicator(world(), {.device = 1000}); }),
                           "CUDA");
}

}  // namespace
}  // namespace polyhead
