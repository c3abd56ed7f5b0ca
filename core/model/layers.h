// The layers of the encoder and the heads: parameters in an arena, applied to packed rows.
#pragma once

#include <functional>
#include <string>

#include "core/model/arena.h"
#include "core/model/block_context.h"
#include "core/model/options.h"
#include "core/model/torch.h"

namespace polyhead {

// How the branches of a block are joined to it, and how their weights are initialized.
struct BlockForm {
  // false: x + f(norm(x)); the matrices of f are Xavier-normal, the last one times `gain`. true, as in BERT: norm(x +
  // f(x)), and matrices are normal(0.02).
  bool post_norm = false;
  double gain = 1;
  double norm_epsilon = 1e-5;
  Activation activation = Activation::gelu;
};

torch::Tensor activate(const torch::Tensor& x, Activation activation);

// y = x W^T + b. W: [out, in], initially Xavier-normal times `gain`, with weight decay.
struct Linear {
  Parameter *weight = nullptr, *bias = nullptr;
  Linear() = default;
  Linear(Arena& arena, const std::string& name, std::int64_t in, std::int64_t out, double gain = 1);
  // The same with the initial values of the form. last: whether it is the last matrix of its branch.
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

// The linear layers of a block that a method of sharing may change, see BlockExtension::linear().
enum class BlockLinear { qkv, attention_out, up, down };

// A branch f of a block with its norm: x + path * dropout(f(norm(x))), or norm(x + path * dropout(f(x))). path: see
// DropoutKeys::path.
struct Residual {
  LayerNorm norm;
  bool post_norm = false;
  Residual() = default;
  Residual(Arena& arena, const std::string& name, std::int64_t dim, const BlockForm& form);
  torch::Tensor operator()(const torch::Tensor& x, const std::function<torch::Tensor(const torch::Tensor&)>& f,
                           const BlockContext& context, const BranchSites& sites) const;
  // The two halves of it: the input of f, and what joins the value of f to x.
  torch::Tensor input(const torch::Tensor& x) const { return post_norm ? x : norm(x); }
  torch::Tensor join(const torch::Tensor& value, const torch::Tensor& x, const BlockContext& context,
                     const BranchSites& sites) const;
};

// The branch down(activation(up(x))).
struct FeedForward {
  Residual residual;
  Linear up, down;
  Activation activation = Activation::gelu;
  FeedForward() = default;
  FeedForward(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t ffn, const BlockForm& form);
  torch::Tensor operator()(const torch::Tensor& x, const BlockContext& context, const BranchSites& sites = {}) const;
};

// The branch out(attention(x)) over the sequences of the context.
struct SelfAttention {
  Residual residual;
  Linear qkv, out;
  std::int64_t heads = 1;
  SelfAttention() = default;
  SelfAttention(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t heads, const BlockForm& form);
  torch::Tensor operator()(const torch::Tensor& x, const BlockContext& context, const BranchSites& sites = {}) const;
};

}  // namespace polyhead
