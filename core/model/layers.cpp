// Layers of the encoder's and the decoders' blocks: linear, norm, feed-forward, packed self-attention.
#include "core/model/layers.h"

#include <cmath>

namespace polyhead {

Linear::Linear(Arena& arena, const std::string& name, std::int64_t in, std::int64_t out, double gain)
    : weight(arena.normal(name + ".weight", {out, in}, gain * std::sqrt(2.0 / static_cast<double>(in + out)), true)),
      bias(arena.constant(name + ".bias", {out}, 0)) {}

torch::Tensor Linear::operator()(const torch::Tensor& x) const {
  return at::linear(x, weight->tensor, bias->tensor);
}

LayerNorm::LayerNorm(Arena& arena, const std::string& name, std::int64_t dim)
    : weight(arena.constant(name + ".weight", {dim}, 1)), bias(arena.constant(name + ".bias", {dim}, 0)) {}

torch::Tensor LayerNorm::operator()(const torch::Tensor& x) const {
  return at::layer_norm(x, {x.size(-1)}, weight->tensor, bias->tensor, 1e-5);
}

FeedForward::FeedForward(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t ffn, double gain)
    : norm(arena, name + ".norm", dim),
      up(arena, name + ".up", dim, ffn),
      down(arena, name + ".down", ffn, dim, gain) {}

torch::Tensor FeedForward::operator()(const torch::Tensor& x, const DropoutKeys& keys, std::int64_t site,
                                      double dropout, const torch::Tensor& path) const {
  return dropout_add(down(at::gelu(up(norm(x)))), x, keys, site, dropout, path);
}

SelfAttention::SelfAttention(Arena& arena, const std::string& name, std::int64_t dim, std::int64_t heads, double gain)
    : norm(arena, name + ".norm", dim),
      qkv(arena, name + ".qkv", dim, 3 * dim),
      out(arena, name + ".out", dim, dim, gain),
      heads(heads) {}

torch::Tensor SelfAttention::operator()(const torch::Tensor& x, const Segments& segments, const Rotary& rotary,
                                        bool causal, const DropoutKeys& keys, std::int64_t site, double dropout,
                                        const torch::Tensor& path) const {
  const std::int64_t dim = x.size(1);
  // unbind, not three slices: its backward is one pass.
  const auto parts = qkv(norm(x)).view({x.size(0), 3, heads, dim / heads}).unbind(1);
  const torch::Tensor read =
      packed_attention(rotate(parts[0], rotary), rotate(parts[1], rotary), parts[2], {}, segments, segments, causal);
  return dropout_add(out(read.view({x.size(0), dim})), x, keys, site, dropout, path);
}

}  // namespace polyhead
