// Rotary positions, with a hand-written backward on the CPU.
#pragma once

#include <cstdint>

#include "core/model/torch.h"

namespace polyhead {

// Rotary positions (Su et al., 2021, halves form): channel pairs (c, c + head/2) of every attention head are rotated by
// the angle position / 10000^(2c/head).
struct Rotary {
  torch::Tensor cosine, sine;  // [tokens, head / 2]
  static Rotary at(const torch::Tensor& positions, std::int64_t head, torch::ScalarType dtype);
};
// x: [tokens, heads, head]. Returns the same shape; x itself if there are no angles.
torch::Tensor rotate(const torch::Tensor& x, const Rotary& rotary);

}  // namespace polyhead
