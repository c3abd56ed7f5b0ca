// The layers that encoder and heads are built of: parameters in an arena, applied to packed rows.
#pragma once

#include <string>

#include "core/model/arena.h"
#include "core/model/operations.h"

namespace polyhead {

// y = x W^T + b; W: [out, in], Xavier-normal start times `gain`, decayed.
struct Linear {
  Parameter *weight = nullptr, *bias = nullptr;
  Linear() = default;
  Linear(Arena& arena, const std::string& name, std::int64_t in, std::int64_t out, double gain = 1);
  torch::Tensor operator()(const torch::Tensor& x) const;
};

// Layer normalisation over the last dimension (epsilon 1e-5).
struct LayerNorm {
  Parameter *weight = nullptr, *bias = nullptr;
  LayerNorm() = default;
  LayerNorm(Arena& arena, const std::string& name, std::int64_t dim);
  torch::Tensor operator()(const torch::Tensor& x) const;
};

// x + path * dropout(down(gelu(up(norm(x))))); path: see DropoutKeys::path, undefined: 1.
struct FeedForward {
  LayerNorm norm;
  Linear up, down;
  FeedForward() = default;
  FeedForward(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t ffn, double gain);
  torch::Tensor operator()(const torch::Tensor& x, const DropoutKeys& keys, std::int64_t site, double dropout,
                           const torch::Tensor& path = {}) const;
};

// x + path * dropout(out(attention(norm(x)))) with rotary positions, over packed sequences.
struct SelfAttention {
  LayerNorm norm;
  Linear qkv, out;
  std::int64_t heads = 1;
  SelfAttention() = default;
  SelfAttention(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t heads, double gain);
  torch::Tensor operator()(const torch::Tensor& x, const Segments& segments, const Rotary& rotary, bool causal,
                           const DropoutKeys& keys, std::int64_t site, double dropout,
                           const torch::Tensor& path = {}) const;
};

}  // namespace polyhead
