// The encoder: its parameters, created in the order of the arena, and the forward pass.
#include "core/model/encoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/model/activation_checkpointing.h"
#include "core/model/task_attention.h"

namespace polyhead {

Encoder::Encoder(const EncoderOptions& options, const AttentionOptions& attention, std::int64_t vocab_size,
                 std::int64_t tasks, const InputOptions& inputs)
    : options_(options), attention_(attention), extension_(make_extension(options)), tasks_(tasks) {
  check(attention, options.dim);
  const double dim = static_cast<double>(options.dim);
  constexpr double kBertDeviation = 0.02;
  arena_.set_depth(options.layers + 1);
  const std::int64_t frozen = is_lora(options.share) ? options.layers + 1 : options.frozen_blocks;
  arena_.set_trainable(frozen == 0);
  embedding_ =
      arena_.normal("embedding.weight", {vocab_size, options.dim}, bert() ? kBertDeviation : 1 / std::sqrt(dim), true);
  arena_.set_trainable(true);
  for (const std::int64_t width : inputs.feature_widths) {
    const std::string name = fmt::format("features.{}", width);
    const double deviation = (bert() ? kBertDeviation : 1) / std::sqrt(static_cast<double>(width));
    projections_[width] = {arena_.normal(name + ".weight", {options.dim, width}, deviation, true),
                           arena_.constant(name + ".bias", {options.dim}, 0)};
  }
  arena_.set_trainable(frozen == 0);
  if (bert()) {
    if (options.token_types > 0)
      segment_ = arena_.normal("segment.weight", {options.token_types, options.dim}, kBertDeviation, true);
    positions_ = arena_.normal("embedding.positions", {options.positions, options.dim}, kBertDeviation, true);
    embedding_norm_ = LayerNorm(arena_, "embedding.norm", options.dim, options.norm_epsilon);
  } else if (inputs.pairs) {
    segment_ = arena_.constant("segment.weight", {2, options.dim}, 0);
  }
  // Keeps the variance of the sum over all residual branches.
  BlockForm form{.post_norm = bert(), .gain = 1 / std::sqrt(2.0 * static_cast<double>(options.layers))};
  if (bert()) form.norm_epsilon = options.norm_epsilon, form.activation = options.activation;
  for (std::int64_t i = 0; i < options.layers; ++i) {
    const std::string name = fmt::format("layers.{}", i);
    arena_.set_depth(options.layers - i);
    arena_.set_trainable(i >= frozen);
    Block block;
    block.attention = SelfAttention(arena_, name + ".attention", options.dim, options.heads, form);
    arena_.set_trainable(true);
    const bool replaced = extension_ && extension_->add_shared_parts(arena_, i, tasks, form);
    arena_.set_trainable(i >= frozen);
    if (!replaced) block.feed_forward = FeedForward(arena_, name + ".ffn", options.dim, options.ffn, form);
    blocks_.push_back(block);
  }
  arena_.set_depth(0);
  arena_.set_trainable(frozen < options.layers);
  if (!bert()) norm_ = LayerNorm(arena_, "norm", options.dim);
  arena_.set_trainable(true);
  if (!attention.importances.empty() && std::ssize(attention.importances) != tasks)
    throw Error(Exit::config,
                fmt::format("{} importances are given for {} tasks", attention.importances.size(), tasks));
  if (!has_queries(attention.mode)) return;
  task_key_ = arena_.normal("tasks.key.weight", {options.dim, options.dim}, 1 / std::sqrt(dim), true);
  const std::int64_t width = options.dim / attention.heads;
  task_queries_ = arena_.normal("tasks.queries", {first_slot() + tasks, attention.heads, width},
                                1 / std::sqrt(static_cast<double>(width)), false);
  if (attention.mode == AttentionMode::competitive && attention.importance == Importance::learned)
    task_importance_ = arena_.constant("tasks.importance", {tasks + 1}, 0);
}

torch::Tensor Encoder::embed(const Input& input, const Segments& segments) const {
  const auto look_up = [&](const torch::Tensor& tokens) {
    const torch::Tensor rows = at::embedding(embedding_->tensor, tokens);
    return bert() ? rows : rows * std::sqrt(static_cast<double>(options_.dim));
  };
  torch::Tensor x;
  if (input.vectors.empty()) {
    x = look_up(input.tokens);
  } else {
    // The tokens between the vectors are looked up together, because the backward of each look-up is as large as the
    // table.
    std::vector<torch::Tensor> tokens;
    std::vector<std::int64_t> lengths;
    std::int64_t row = 0;
    const auto tokens_until = [&](std::int64_t end) {
      lengths.push_back(end - row);
      tokens.push_back(input.tokens.narrow(0, row, end - row));
    };
    for (const Input::Vectors& vectors : input.vectors) {
      tokens_until(vectors.first);
      row = vectors.first + vectors.values.size(0);
    }
    tokens_until(input.tokens.size(0));
    const torch::Tensor all = torch::cat(tokens);
    std::vector<torch::Tensor> parts;
    if (all.size(0) > 0) parts = look_up(all).split_with_sizes(lengths);
    std::vector<torch::Tensor> rows;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      if (lengths[i] > 0) rows.push_back(parts[i]);
      if (i == input.vectors.size()) break;
      const torch::Tensor& values = input.vectors[i].values;
      const Projection& projection = projections_.at(values.size(1));
      rows.push_back(at::linear(values, projection.weight->tensor, projection.bias->tensor));
    }
    x = torch::cat(rows);
  }
  if (bert()) {
    if (segment_) {
      torch::Tensor types = torch::zeros_like(input.tokens);
      if (input.pair_rows.defined() && options_.token_types > 1)
        types = types.index_copy(0, input.pair_rows, input.second);
      x = x + at::embedding(segment_->tensor, types);
    }
    return embedding_norm_(x + at::embedding(positions_->tensor, segments.positions));
  }
  if (segment_ && input.pair_rows.defined())
    x = x.index_add(0, input.pair_rows, segment_->tensor.index_select(0, input.second));
  return x;
}

double Encoder::drop_path(std::int64_t block) const {
  return block + 1 == options_.layers
             ? options_.drop_path
             : options_.drop_path * static_cast<double>(block) / static_cast<double>(options_.layers - 1);
}

torch::Tensor Encoder::run_block(const torch::Tensor& states, const BlockContext& context) const {
  const Block& block = blocks_[static_cast<std::size_t>(context.block)];
  BlockState state{.x = states, .second = {}};
  if (states.size(1) > options_.dim) {
    const auto both = states.split(options_.dim, 1);
    state = {.x = both[0], .second = both[1]};
  }
  state.x = block.attention(state.x, context, context.sites.attention(context.block));
  if (block.feed_forward)
    state.x = (*block.feed_forward)(state.x, context, context.sites.feed_forward(context.block));
  else
    extension_->feed_forward(state, block.attention, context);
  if (extension_) extension_->after_block(state, context);
  return state.second.defined() ? torch::cat({state.x, state.second}, 1) : state.x;
}

Encoder::Output Encoder::forward(const Input& input, const Segments& segments, const DropoutKeys& keys,
                                 const std::vector<TaskRows>& tasks) const {
  const auto rows = std::accumulate(tasks.begin(), tasks.end(), std::int64_t{0},
                                    [](std::int64_t sum, const TaskRows& task) { return sum + task.rows; });
  if (needs_tasks() && rows != segments.tokens())
    throw Error(Exit::internal, fmt::format("the encoder has the tasks of {} of {} rows; encoder.share = {} "
                                            "needs all",
                                            rows, segments.tokens(), name_of(options_.share)));
  std::int64_t longest = 0;
  for (std::size_t i = 0; i + 1 < segments.offsets.size(); ++i)
    longest = std::max(longest, segments.offsets[i + 1] - segments.offsets[i]);
  check_length(options_, static_cast<std::uint64_t>(longest), fmt::format("an input has {} tokens or vectors", longest),
               "cut it, or train with a larger encoder.positions");
  torch::Tensor x = dropout_add(embed(input, segments), {}, keys, 0, options_.dropout);
  BlockContext context{.segments = segments,
                       .rotary = {},
                       .keys = keys,
                       .dropout = options_.dropout,
                       .attention_dropout = options_.attention_dropout,
                       .sites = sites(),
                       .extension_site = block_sites(),
                       .tasks = tasks,
                       .extension = extension_.get()};
  if (!bert()) context.rotary = Rotary::at(segments.positions, options_.dim / options_.heads, x.scalar_type());
  for (std::int64_t i = 0; i < options_.layers; ++i) {
    context.block = i;
    context.drop_path = drop_path(i);
    // Captured by value, because backward may call it again.
    const auto run = [this, context](const torch::Tensor& states) { return run_block(states, context); };
    x = options_.activation_checkpointing && torch::GradMode::is_enabled() ? checkpointed(run, x) : run(x);
  }
  if (extension_) x = extension_->result(x);
  const torch::Tensor states = bert() ? x : norm_(x);
  return {states, weights(states, segments)};
}

torch::Tensor Encoder::weights(const torch::Tensor& states, const Segments& segments) const {
  const auto& [mode, heads, temperature, floor, entropy_bonus, importance, importances] = attention_;
  if (mode == AttentionMode::mean) return mean_weights(heads, tasks_, segments, states);
  if (mode == AttentionMode::first) return first_weights(heads, tasks_, segments, states);
  if (mode == AttentionMode::independent)
    return independent_weights(states, task_key_->tensor, task_queries_->tensor, segments, temperature, floor);
  return task_weights(states, task_key_->tensor, task_queries_->tensor, importance_logits(), temperature, floor);
}

std::optional<std::map<std::string, torch::Tensor>> Encoder::plain_tensors(const TaskParts* parts) const {
  std::map<std::string, torch::Tensor> tensors;
  for (const Parameter& parameter : arena_.parameters()) tensors[parameter.name] = parameter.tensor.detach();
  if (extension_ && !extension_->merge(tensors, parts)) return std::nullopt;
  return tensors;
}

torch::Tensor Encoder::importance_logits() const {
  if (task_importance_ && attention_.importances.empty()) return task_importance_->tensor;
  std::vector<double> given(static_cast<std::size_t>(tasks_) + 1, 0);
  for (std::size_t i = 0; i < attention_.importances.size(); ++i) given[i + 1] = std::log(attention_.importances[i]);
  const torch::Tensor logits = torch::tensor(given, torch::kFloat64).to(embedding_->tensor.options());
  return task_importance_ ? task_importance_->tensor + logits : logits;
}

torch::Tensor Encoder::importance() const {
  return at::softmax(importance_logits().narrow(0, 1, tasks_), 0);
}

}  // namespace polyhead
