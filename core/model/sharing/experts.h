// Experts: several small feed-forward networks whose values are summed with weights (gates), for mmoe and ple.
#pragma once

#include <cstdint>
#include <string>

#include "core/model/arena.h"
#include "core/model/options.h"
#include "core/model/torch.h"

namespace polyhead {

// Experts E_k(n) = D_k activation(U_k n), k = 1..count, of width ffn / experts each, stacked so that one product
// computes all of them.
struct Experts {
  Parameter *up = nullptr, *up_bias = nullptr;      // [count * width, dim], [count * width]
  Parameter *down = nullptr, *down_bias = nullptr;  // [dim, count * width], [count, dim]
  Activation activation = Activation::gelu;
  Experts() = default;
  Experts(Arena& arena, const std::string& name, std::int64_t count, const EncoderOptions& options);
  torch::Tensor hidden(const torch::Tensor& n) const;  // activation(U n): [rows, count * width]
  // Returns sum_k gates_k D_k hidden_k, [rows, dim]. gates: [rows, count].
  torch::Tensor mix(const torch::Tensor& hidden, const torch::Tensor& gates) const;
};

// Returns the first of the top blocks, which have experts.
inline std::int64_t first_expert_block(const EncoderOptions& options) {
  return options.layers - options.expert_layers;
}

}  // namespace polyhead
