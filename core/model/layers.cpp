// The layers of encoder and decoder blocks: linear, norm, feed-forward, packed self-attention.
#include "core/model/layers.h"

#include <cmath>

namespace polyhead {
namespace {

double xavier(std::int64_t in, std::int64_t out) {
  return std::sqrt(2.0 / static_cast<double>(in + out));
}

}  // namespace

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
    : norm(arena, name + ".norm", dim, form.post_norm ? 1e-12 : 1e-5), post_norm(form.post_norm) {}

torch::Tensor Residual::operator()(const torch::Tensor& x, const std::function<torch::Tensor(const torch::Tensor&)>& f,
                                   const DropoutKeys& keys, std::int64_t site, double dropout,
                                   const torch::Tensor& path) const {
  return join(f(input(x)), x, keys, site, dropout, path);
}

torch::Tensor Residual::join(const torch::Tensor& branch, const torch::Tensor& x, const DropoutKeys& keys,
                             std::int64_t site, double dropout, const torch::Tensor& path) const {
  const torch::Tensor sum = dropout_add(branch, x, keys, site, dropout, path);
  return post_norm ? norm(sum) : sum;
}

FeedForward::FeedForward(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t ffn,
                         const BlockForm& form)
    : residual(arena, name, dim, form),
      up(arena, name + ".up", dim, ffn, form, false),
      down(arena, name + ".down", ffn, dim, form, true) {}

torch::Tensor FeedForward::operator()(const torch::Tensor& x, const DropoutKeys& keys, std::int64_t site,
                                      double dropout, const torch::Tensor& path) const {
  return residual(
      x, [&](const torch::Tensor& in) { return down(at::gelu(up(in))); }, keys, site, dropout, path);
}

SelfAttention::SelfAttention(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t heads,
                             const BlockForm& form)
    : residual(arena, name, dim, form),
      qkv(arena, name + ".qkv", dim, 3 * dim, form, false),
      out(arena, name + ".out", dim, dim, form, true),
      heads(heads) {}

torch::Tensor SelfAttention::operator()(const torch::Tensor& x, const Segments& segments, const Rotary& rotary,
                                        bool causal, const DropoutKeys& keys, std::int64_t site, double dropout,
                                        const AttentionDropout& weights, const torch::Tensor& path) const {
  const auto attention = [&](const torch::Tensor& in) {
    const std::int64_t dim = in.size(1);
    // unbind instead of three slices, because its backward is a single pass.
    const auto parts = qkv(in).view({in.size(0), 3, heads, dim / heads}).unbind(1);
    const torch::Tensor read = packed_attention(rotate(parts[0], rotary), rotate(parts[1], rotary), parts[2], {},
                                                segments, segments, causal, weights);
    return out(read.view({in.size(0), dim}));
  };
  return residual(x, attention, keys, site, dropout, path);
}

}  // namespace polyhead
