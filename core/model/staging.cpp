// Implements staging memory with LibTorch's page-locked allocator.
#include "core/model/staging.h"

namespace polyhead {

torch::Tensor staging(at::IntArrayRef sizes, torch::ScalarType type, torch::Device device) {
  return torch::empty(sizes, torch::TensorOptions().dtype(type).pinned_memory(device.is_cuda()));
}

}  // namespace polyhead
