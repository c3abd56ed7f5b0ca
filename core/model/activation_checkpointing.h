// Activation checkpointing (Chen et al., 2016): backward computes again what forward did not keep.
#pragma once

#include <functional>

#include "core/model/torch.h"

namespace polyhead {

// f(x), of which only x is kept until backward, which calls f once more. f must give the same bits each time; x needs a
// gradient. The gradients of what f uses besides x are added to theirs as without checkpointing, bit for bit, and once.
torch::Tensor checkpointed(const std::function<torch::Tensor(torch::Tensor)>& f, const torch::Tensor& x);

}  // namespace polyhead
