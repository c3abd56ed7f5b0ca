// Extractive question answering: two pointers over the tokens of the context.
#include "core/heads/span.h"

#include <algorithm>
#include <cmath>

#include "core/model/task_attention.h"

namespace polyhead {
namespace {

// The score of a token that cannot be chosen: its probability is 0, and products with it are finite.
constexpr double kNever = -1e30;

// Returns the cross-entropies of the first and the last tokens, [sequences, 2]; 0 for an answer that was cut off.
torch::Tensor cross_entropies(const torch::Tensor& logits, const TaskSlice& slice) {
  std::vector<std::int64_t> targets;
  for (std::size_t i = 0; i < slice.span_begin.size(); ++i)
    targets.insert(targets.end(), {slice.span_begin[i], slice.span_end[i]});
  return at::cross_entropy_loss(logits, to_device(targets, logits), {}, at::Reduction::None, kIgnore).view({-1, 2});
}

// Returns the best answer of each sequence.
Predicted best_spans(const torch::Tensor& logits) {
  const torch::Tensor log_p = at::log_softmax(logits.to(torch::kFloat64), 1);
  const std::vector<double> scores = to_host_double(log_p);
  const std::int64_t sequences = log_p.size(0) / 2, length = log_p.size(1);
  Predicted predicted;
  for (std::int64_t i = 0; i < sequences; ++i) {
    const double *start = scores.data() + 2 * i * length, *end = start + length;
    std::vector<std::int64_t> span = {0, 0};
    double best = start[0] + end[0];
    for (std::int64_t first = 0; first < length; ++first)
      for (std::int64_t last = first; last < std::min(length, first + kLongestAnswer); ++last)
        if (start[first] + end[last] > best) {
          best = start[first] + end[last];
          span = {first, last};
        }
    predicted.ids.push_back(span);
    predicted.probability.push_back(std::exp(best));
  }
  return predicted;
}

}  // namespace

SpanHead::SpanHead(HeadSpec spec) : Head(std::move(spec)) {
  value_ = Linear(arena_, "value", spec_.encoder.dim, spec_.encoder.dim);
  out_ = Linear(arena_, "out", spec_.encoder.dim, 2);
}

torch::Tensor SpanHead::logits(const HeadInput& input, const std::vector<std::int64_t>& context) const {
  torch::Tensor x = input.states + weighted_values(value_(input.states), input.weights);
  if (!input.sample_keys.empty()) {
    const DropoutKeys keys(input.segments, input.sample_keys, 1, 1, x.device());
    x = dropout_add(x, {}, keys, 0, spec_.options.dropout);
  }
  const std::vector<std::int64_t>& offsets = input.segments.offsets;
  const std::int64_t sequences = input.segments.sequences();
  std::int64_t longest = 0;
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) longest = std::max(longest, offsets[i + 1] - offsets[i]);
  std::vector<std::int64_t> rows, chosen;  // [sequences, longest]
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    for (std::int64_t row = 0; row < longest; ++row) {
      const bool inside = offsets[i] + row < offsets[i + 1];
      rows.push_back(inside ? offsets[i] + row : offsets[i]);
      chosen.push_back(inside && row >= context[i]);
    }
  const torch::Tensor index = to_device(rows, x), tokens = input.tokens.index_select(0, index);
  torch::Tensor allowed = to_device(chosen, x).to(torch::kBool);
  for (const std::int64_t special : {spec_.bos, spec_.eos, spec_.mask})
    allowed = allowed.logical_and(tokens.ne(special));
  const torch::Tensor scores = out_(x).index_select(0, index).masked_fill(allowed.logical_not().unsqueeze(1), kNever);
  return scores.view({sequences, longest, 2}).transpose(1, 2).reshape({2 * sequences, longest});
}

torch::Tensor SpanHead::loss(const HeadInput& input, const TaskSlice& slice) const {
  return weighted(cross_entropies(outputs(input, slice), slice), slice).sum() / 2;
}

torch::Tensor SpanHead::outputs(const HeadInput& input, const TaskSlice& slice) const {
  return logits(input, slice.context_begin);
}

torch::Tensor SpanHead::distilled_loss(const HeadInput& input, const TaskSlice& slice,
                                       const Distillation& teacher) const {
  const torch::Tensor out = outputs(input, slice);
  torch::Tensor weights = weights_of(slice, out);
  if (weights.defined()) weights = weights.repeat_interleave(2);  // of the first and the last token
  return teacher.mix(weighted(cross_entropies(out, slice), slice).sum(), softened_divergence(out, teacher, weights)) /
         2;
}

Scored SpanHead::score(const HeadInput& input, const TaskSlice& slice) const {
  const torch::Tensor out = outputs(input, slice);
  Scored scored{.loss = to_host_double(cross_entropies(out, slice).mean(1)), .count = {}, .predicted = {}};
  for (const std::int64_t first : slice.span_begin) scored.count.push_back(first != kIgnore);
  for (const auto& span : best_spans(out).ids)
    scored.predicted.insert(scored.predicted.end(), span.begin(), span.end());
  return scored;
}

Predicted SpanHead::predict(const HeadInput& input) const {
  return best_spans(logits(input, input.second));
}

}  // namespace polyhead
