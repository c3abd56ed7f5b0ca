// Host memory from which values are copied to a device.
#pragma once

#include "core/model/torch.h"

namespace polyhead {

// Returns host memory for values that will be copied to `device`. For a GPU it is page-locked, so that `.to(device,
// true)` waits neither for the copy nor for work queued before it.
torch::Tensor staging(at::IntArrayRef sizes, torch::ScalarType type, torch::Device device);

}  // namespace polyhead
