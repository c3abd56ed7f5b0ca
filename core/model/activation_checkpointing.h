// Activation checkpointing (Chen et al., 2016): backward recomputes the activations that forward did not store.
#pragma once

#include <functional>

#include "core/model/torch.h"

namespace polyhead {

// Returns f(x). Until backward only x is stored; backward then calls f again.
// - f must give the same bits every time, and x must require a gradient.
// - The gradients of other tensors that f uses are accumulated once, bitwise as without checkpointing.
torch::Tensor checkpointed(const std::function<torch::Tensor(torch::Tensor)>& f, const torch::Tensor& x);

}  // namespace polyhead
