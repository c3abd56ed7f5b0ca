// Tensors as collectives take them.
#pragma once

#include <string>

#include "core/model/torch.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

// Of a float32 or float64 tensor.
inline DType type_of(const torch::Tensor& tensor) {
  return tensor.scalar_type() == torch::kFloat64 ? DType::f64 : DType::f32;
}

// Whether an all-reduce of this tensor has nothing to do. NCCL communicators of one member do not exist.
inline bool alone(const Communicator& group, const torch::Tensor& tensor) {
  return tensor.is_cuda() && group.size() == 1;
}

}  // namespace polyhead
