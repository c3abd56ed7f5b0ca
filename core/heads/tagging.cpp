// Tagging: a class for every token, from its state plus the task's values times the token's weight.
#include "core/heads/tagging.h"

#include "core/model/task_attention.h"

namespace polyhead {
namespace {

// Returns the rows of tokens whose tags are scored.
torch::Tensor scored(const torch::Tensor& rows, const TaskSlice& slice) {
  std::vector<std::int64_t> index;
  for (std::size_t token = 0; token < slice.tags.size(); ++token)
    if (slice.tags[token] != kIgnore) index.push_back(static_cast<std::int64_t>(token));
  return rows.index_select(0, to_device(index, rows));
}

}  // namespace

TaggingHead::TaggingHead(HeadSpec spec) : Head(std::move(spec)) {
  value_ = Linear(arena_, "value", spec_.encoder.dim, spec_.encoder.dim);
  out_ = Linear(arena_, "out", spec_.encoder.dim, spec_.classes);
}

torch::Tensor TaggingHead::logits(const HeadInput& input) const {
  torch::Tensor x = input.states + weighted_values(value_(input.states), input.weights);
  if (!input.sample_keys.empty()) {
    const DropoutKeys keys(input.segments, input.sample_keys, 1, 1, x.device());
    x = dropout_add(x, {}, keys, 0, spec_.options.dropout);
  }
  return out_(x);
}

torch::Tensor TaggingHead::loss_of(const torch::Tensor& logits, const TaskSlice& slice) const {
  const torch::Tensor tags = to_device(slice.tags, logits);
  if (slice.weights.empty()) return at::cross_entropy_loss(logits, tags, {}, at::Reduction::Sum, kIgnore);
  return weighted(at::cross_entropy_loss(logits, tags, {}, at::Reduction::None, kIgnore), slice).sum();
}

torch::Tensor TaggingHead::loss(const HeadInput& input, const TaskSlice& slice) const {
  return loss_of(logits(input), slice);
}

torch::Tensor TaggingHead::outputs(const HeadInput& input, const TaskSlice& slice) const {
  return scored(logits(input), slice);
}

torch::Tensor TaggingHead::distilled_loss(const HeadInput& input, const TaskSlice& slice,
                                          const Distillation& teacher) const {
  const torch::Tensor out = logits(input);
  torch::Tensor weights = weights_of(slice, out);
  if (weights.defined()) weights = scored(weights, slice);
  return teacher.mix(loss_of(out, slice), softened_divergence(scored(out, slice), teacher, weights));
}

Scored TaggingHead::score(const HeadInput& input, const TaskSlice& slice) const {
  return score_targets(logits(input), slice.tags, input.segments.offsets);
}

Predicted TaggingHead::predict(const HeadInput& input) const {
  const auto tags = to_host(logits(input).argmax(1));
  Predicted predicted;
  for (std::size_t i = 0; i + 1 < input.segments.offsets.size(); ++i)
    predicted.ids.emplace_back(tags.begin() + input.segments.offsets[i], tags.begin() + input.segments.offsets[i + 1]);
  return predicted;
}

}  // namespace polyhead
