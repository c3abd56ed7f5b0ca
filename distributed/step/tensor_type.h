// Conversions from tensors to the arguments of collectives.
#pragma once

#include <string>

#include "core/model/torch.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

// Returns the type of a float32 or float64 tensor.
inline DType type_of(const torch::Tensor& tensor) {
  return tensor.scalar_type() == torch::kFloat64 ? DType::f64 : DType::f32;
}

// Returns whether an all-reduce of this tensor can be skipped. There are no NCCL communicators with one member.
inline bool alone(const Communicator& group, const torch::Tensor& tensor) {
  return tensor.is_cuda() && group.size() == 1;
}

}  // namespace polyhead
