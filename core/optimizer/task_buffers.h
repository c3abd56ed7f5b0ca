// The buffers of a balancer that keeps one for each task, as long as the encoder's arena.
#pragma once

#include <vector>

#include "core/base/index_range.h"
#include "core/model/torch.h"

namespace polyhead {

struct TaskBuffers {
  std::vector<torch::Tensor> tensors;  // [tasks] this worker's part of each; empty: the balancer keeps none
  IndexRange part;                     // of the arena
};

}  // namespace polyhead
