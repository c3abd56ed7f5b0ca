// The layers of encoder and decoder blocks: linear, norm, feed-forward, packed self-attention.
#include "core/model/layers.h"

#include <cmath>

#include "core/model/block_extension.h"
#include "core/model/packed_attention.h"

namespace polyhead {
namespace {

double xavier(std::int64_t in, std::int64_t out) {
  return std::sqrt(2.0 / static_cast<double>(in + out));
}

torch::Tensor extended(const Linear& linear, BlockLinear layer, const torch::Tensor& x, const BlockContext& context) {
  const torch::Tensor value = linear(x);
  return context.extension ? context.extension->linear(layer, x, value, context) : value;
}

}  // namespace

torch::Tensor activate(const torch::Tensor& x, Activation activation) {
  if (activation == Activation::relu) return at::relu(x);
  return at::gelu(x, activation == Activation::gelu_tanh ? "tanh" : "none");
}

Linear::Linear(Arena& arena, const std::string& name, std::int64_t in, std::int64_t out, double gain)
    : weight(arena.normal(name + ".weight", {out, in}, gain * xavier(in, out), true)),
      bias(arena.constant(name + ".bias", {out}, 0)) {}

torch::Tensor Linear::operator()(const torch::Tensor& x) const {
  return at::linear(x, weight->tensor, bias->tensor);
}

Linear::Linear(Arena& arena, const std::string& name, std::int64_t in, std::int64_t out, const BlockForm& form,
               bool last)
    : Linear(arena, name, in, out,
             form.post_norm ? 0.02 / xavier(in, out)
             : last         ? form.gain
                            : 1) {}

LayerNorm::LayerNorm(Arena& arena, const std::string& name, std::int64_t dim, double epsilon)
    : weight(arena.constant(name + ".weight", {dim}, 1)),
      bias(arena.constant(name + ".bias", {dim}, 0)),
      epsilon(epsilon) {}

torch::Tensor LayerNorm::operator()(const torch::Tensor& x) const {
  return at::layer_norm(x, {x.size(-1)}, weight->tensor, bias->tensor, epsilon);
}

Residual::Residual(Arena& arena, const std::string& name, std::int64_t dim, const BlockForm& form)
    : norm(arena, name + ".norm", dim, form.norm_epsilon), post_norm(form.post_norm) {}

torch::Tensor Residual::operator()(const torch::Tensor& x, const std::function<torch::Tensor(const torch::Tensor&)>& f,
                                   const BlockContext& context, const BranchSites& sites) const {
  return join(f(input(x)), x, context, sites);
}

torch::Tensor Residual::join(const torch::Tensor& value, const torch::Tensor& x, const BlockContext& context,
                             const BranchSites& sites) const {
  const torch::Tensor path = context.keys.path(sites.path, context.drop_path, context.segments, x.scalar_type());
  const torch::Tensor sum = dropout_add(value, x, context.keys, sites.branch, context.dropout, path);
  return post_norm ? norm(sum) : sum;
}

FeedForward::FeedForward(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t ffn,
                         const BlockForm& form)
    : residual(arena, name, dim, form),
      up(arena, name + ".up", dim, ffn, form, false),
      down(arena, name + ".down", ffn, dim, form, true),
      activation(form.activation) {}

torch::Tensor FeedForward::operator()(const torch::Tensor& x, const BlockContext& context,
                                      const BranchSites& sites) const {
  const auto network = [&](const torch::Tensor& in) {
    const torch::Tensor hidden = activate(extended(up, BlockLinear::up, in, context), activation);
    return extended(down, BlockLinear::down, hidden, context);
  };
  return residual(x, network, context, sites);
}

SelfAttention::SelfAttention(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t heads,
                             const BlockForm& form)
    : residual(arena, name, dim, form),
      qkv(arena, name + ".qkv", dim, 3 * dim, form, false),
      out(arena, name + ".out", dim, dim, form, true),
      heads(heads) {}

torch::Tensor SelfAttention::operator()(const torch::Tensor& x, const BlockContext& context,
                                        const BranchSites& sites) const {
  const auto attention = [&](const torch::Tensor& in) {
    const std::int64_t dim = in.size(1);
    // unbind instead of three slices, because its backward is a single pass.
    const auto parts = extended(qkv, BlockLinear::qkv, in, context).view({in.size(0), 3, heads, dim / heads}).unbind(1);
    const torch::Tensor read = packed_attention(rotate(parts[0], context.rotary), rotate(parts[1], context.rotary),
                                                parts[2], {}, context.segments, context.segments, context.causal,
                                                context.keys.attention(sites.weights, context.attention_dropout));
    return extended(out, BlockLinear::attention_out, read.view({in.size(0), dim}), context);
  };
  return residual(x, attention, context, sites);
}

}  // namespace polyhead
