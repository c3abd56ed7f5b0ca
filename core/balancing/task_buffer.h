// Computes with the buffers of balancers that keep one for each task (TaskBuffer in core/balancing/balancer.h).
#pragma once

#include "core/balancing/balancer.h"
#include "core/balancing/gram.h"

namespace polyhead {

struct BufferedRow {
  torch::Tensor measured;  // the tensor whose norm the balancer gets
  torch::Tensor summed;    // the tensor that is multiplied by the task's weight and summed
  torch::Tensor buffer;    // the new buffer, which replaces the old one if the step is not skipped
};

// gradient and buffer: [elements], of one type and device. loss: the task's mean loss in this step. rule.kind is not
// none.
BufferedRow apply_buffer(const TaskBuffer& rule, const torch::Tensor& gradient, const torch::Tensor& buffer,
                         double loss);

}  // namespace polyhead
