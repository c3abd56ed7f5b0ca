// Groups for device memory in a program without CUDA, and on a machine without the device.
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "distributed/communicator/nccl/nccl.h"
#include "tests/distributed/world.h"

namespace polyhead {
namespace {

TEST(NcclCommunicator, NeedsADevice) {
  try {
    make_nccl_communicator(world(), {.device = 1000});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::config);
    EXPECT_NE(std::string(error.what()).find("CUDA"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace polyhead
