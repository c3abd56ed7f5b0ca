// The layers that encoder and heads are built of: parameters in an arena, applied to packed rows.
#pragma once

#include <functional>
#include <string>

#include "core/model/arena.h"
#include "core/model/operations.h"

namespace polyhead {

// How the branches of a block are joined to it, and how their weights start.
struct BlockForm {
  // x + f(norm(x)); f's matrices start Xavier-normal, the last one's times `gain`. Or as BERT has it: norm(x + f(x)),
  // the norm's epsilon is 1e-12, matrices start normal(0.02).
  bool post_norm = false;
  double gain = 1;
};

// y = x W^T + b; W: [out, in], Xavier-normal start times `gain`, decayed.
struct Linear {
  Parameter *weight = nullptr, *bias = nullptr;
  Linear() = default;
  Linear(Arena& arena, const std::string& name, std::int64_t in, std::int64_t out, double gain = 1);
  // The same as the form starts it; last: the last of its branch.
  Linear(Arena& arena, const std::string& name, std::int64_t in, std::int64_t out, const BlockForm& form, bool last);
  torch::Tensor operator()(const torch::Tensor& x) const;
};

// Layer normalisation over the last dimension.
struct LayerNorm {
  Parameter *weight = nullptr, *bias = nullptr;
  double epsilon = 1e-5;
  LayerNorm() = default;
  LayerNorm(Arena& arena, const std::string& name, std::int64_t dim, double epsilon = 1e-5);
  torch::Tensor operator()(const torch::Tensor& x) const;
};

// A branch f of a block and its norm: x + path * dropout(f(norm(x))), or norm(x + path * dropout(f(x))).
// path: see DropoutKeys::path, undefined: 1.
struct Residual {
  LayerNorm norm;
  bool post_norm = false;
  Residual() = default;
  Residual(Arena& arena, const std::string& name, std::int64_t dim, const BlockForm& form);
  torch::Tensor operator()(const torch::Tensor& x, const std::function<torch::Tensor(const torch::Tensor&)>& f,
                           const DropoutKeys& keys, std::int64_t site, double dropout, const torch::Tensor& path) const;
  // Its two halves: what f reads, and what becomes of f's value.
  torch::Tensor input(const torch::Tensor& x) const { return post_norm ? x : norm(x); }
  torch::Tensor join(const torch::Tensor& branch, const torch::Tensor& x, const DropoutKeys& keys, std::int64_t site,
                     double dropout, const torch::Tensor& path) const;
};

// The branch down(gelu(up(x))).
struct FeedForward {
  Residual residual;
  Linear up, down;
  FeedForward() = default;
  FeedForward(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t ffn, const BlockForm& form);
  torch::Tensor operator()(const torch::Tensor& x, const DropoutKeys& keys, std::int64_t site, double dropout,
                           const torch::Tensor& path = {}) const;
};

// The branch out(attention(x)), over packed sequences; with rotary positions if it is given any.
struct SelfAttention {
  Residual residual;
  Linear qkv, out;
  std::int64_t heads = 1;
  SelfAttention() = default;
  SelfAttention(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t heads, const BlockForm& form);
  torch::Tensor operator()(const torch::Tensor& x, const Segments& segments, const Rotary& rotary, bool causal,
                           const DropoutKeys& keys, std::int64_t site, double dropout,
                           const AttentionDropout& weights = {}, const torch::Tensor& path = {}) const;
};

}  // namespace polyhead
