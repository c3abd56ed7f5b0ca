#include "core/model/encoder.h"

#include <cmath>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/model/task_attention.h"

namespace polyhead {

void check(const EncoderOptions& options) {
  const auto fail = [](const std::string& message) { throw Error(Exit::config, message); };
  if (options.form != "pre_norm")
    fail(fmt::format("encoder.form = {}: this form is not known; use pre_norm", options.form));
  for (const auto& [key, value] : {std::pair("layers", options.layers), std::pair("dim", options.dim),
                                   std::pair("heads", options.heads), std::pair("ffn", options.ffn)})
    if (value < 1) fail(fmt::format("encoder.{} = {}: it must be at least 1", key, value));
  if (options.dim % (2 * options.heads) != 0)
    fail(
        fmt::format("encoder.dim = {} with encoder.heads = {}: dim / heads must be an even whole number, as rotary "
                    "positions turn pairs "
                    "of channels",
                    options.dim, options.heads));
  if (!(options.dropout >= 0 && options.dropout < 1))
    fail(fmt::format("encoder.dropout = {}: it must lie in [0, 1)", options.dropout));
}

void check(const AttentionOptions& options, std::int64_t dim) {
  if (options.heads < 1 || dim % options.heads != 0)
    throw Error(Exit::config, fmt::format("attention.heads = {}: it must divide encoder.dim = {}", options.heads, dim));
  if (!(options.temperature > 0))
    throw Error(Exit::config, fmt::format("attention.temperature = {}: it must be above 0", options.temperature));
  if (!(options.floor >= 0 && options.floor < 1))
    throw Error(Exit::config, fmt::format("attention.floor = {}: it must lie in [0, 1)", options.floor));
}

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
