// The encoder: its parameters, made in the order in which they lie in the arena, and the forward pass.
#include "core/model/encoder.h"

#include <cmath>

#include <fmt/format.h>

#include "core/model/task_attention.h"

namespace polyhead {

Encoder::Encoder(const EncoderOptions& options, const AttentionOptions& attention, std::int64_t vocab_size,
                 std::int64_t tasks)
    : options_(options), attention_(attention) {
  check(options);
  check(attention, options.dim);
  const double dim = static_cast<double>(options.dim);
  embedding_ = arena_.normal("embedding.weight", {vocab_size, options.dim}, 1 / std::sqrt(dim), true);
  // The sum over all residual branches keeps its variance.
  const double gain = 1 / std::sqrt(2.0 * static_cast<double>(options.layers));
  for (std::int64_t i = 0; i < options.layers; ++i) {
    const std::string name = fmt::format("layers.{}", i);
    blocks_.push_back({SelfAttention(arena_, name + ".attention", options.dim, options.heads, gain),
                       FeedForward(arena_, name + ".ffn", options.dim, options.ffn, gain)});
  }
  norm_ = LayerNorm(arena_, "norm", options.dim);
  task_key_ = arena_.normal("tasks.key.weight", {options.dim, options.dim}, 1 / std::sqrt(dim), true);
  const std::int64_t width = options.dim / attention.heads;
  task_queries_ = arena_.normal("tasks.queries", {tasks + 1, attention.heads, width},
                                1 / std::sqrt(static_cast<double>(width)), false);
  task_importance_ = arena_.constant("tasks.importance", {tasks + 1}, 0);
}

Encoder::Output Encoder::forward(const torch::Tensor& tokens, const Segments& segments, const DropoutKeys& keys) const {
  const double dropout = options_.dropout;
  const torch::Tensor embedded =
      at::embedding(embedding_->tensor, tokens) * std::sqrt(static_cast<double>(options_.dim));
  torch::Tensor x = dropout_add(embedded, {}, keys, 0, dropout);
  const Rotary rotary = Rotary::at(segments.positions, options_.dim / options_.heads, x.scalar_type());
  std::int64_t site = 1;
  for (const Block& block : blocks_) {
    x = block.attention(x, segments, rotary, false, keys, site++, dropout);
    x = block.feed_forward(x, keys, site++, dropout);
  }
  const torch::Tensor states = norm_(x);
  return {states, task_weights(states, task_key_->tensor, task_queries_->tensor, task_importance_->tensor,
                               attention_.temperature, attention_.floor)};
}

torch::Tensor Encoder::importance() const {
  return at::softmax(task_importance_->tensor.narrow(0, 1, task_importance_->tensor.size(0) - 1), 0);
}

}  // namespace polyhead
