// Masked language modelling: only the masked rows, one hidden layer, and the encoder's token table as output layer.
#include "core/heads/masked_lm.h"

#include <algorithm>

#include "core/model/task_attention.h"

namespace polyhead {
namespace {

// Returns the slice's masked rows, counted from the first token of the slice.
std::vector<std::int64_t> rows_of(const TaskSlice& slice) {
  std::vector<std::int64_t> rows = slice.masked_rows;
  for (std::int64_t& row : rows) row -= slice.first_token;
  return rows;
}

torch::Tensor masked_rows(const HeadInput& input, const TaskSlice& slice) {
  return to_device(rows_of(slice), input.states);
}

// Returns which of these rows, in ascending order, belong to each sequence: [sequences + 1], from 0.
std::vector<std::int64_t> offsets_of(const std::vector<std::int64_t>& rows,
                                     const std::vector<std::int64_t>& sequences) {
  std::vector<std::int64_t> offsets;
  for (const std::int64_t begin : sequences) offsets.push_back(std::ranges::lower_bound(rows, begin) - rows.begin());
  return offsets;
}

}  // namespace

MaskedLmHead::MaskedLmHead(HeadSpec spec) : Head(std::move(spec)) {
  const std::int64_t dim = spec_.encoder.dim;
  value_ = Linear(arena_, "value", dim, dim);
  transform_ = Linear(arena_, "transform", dim, dim);
  norm_ = LayerNorm(arena_, "norm", dim);
  bias_ = arena_.constant("bias", {spec_.vocab_size}, 0);
}

torch::Tensor MaskedLmHead::hidden(const HeadInput& input, const torch::Tensor& rows) const {
  const torch::Tensor states = input.states.index_select(0, rows);
  const torch::Tensor x = states + weighted_values(value_(states), input.weights.index_select(1, rows));
  return norm_(at::gelu(transform_(x)));
}

torch::Tensor MaskedLmHead::losses(const HeadInput& input, const TaskSlice& slice, const Distillation* teacher) const {
  return tied_cross_entropy(hidden(input, masked_rows(input, slice)), input.embedding, bias_->tensor,
                            to_device(slice.masked_tokens, input.states), 0, teacher);
}

torch::Tensor MaskedLmHead::loss(const HeadInput& input, const TaskSlice& slice) const {
  return weighted(losses(input, slice, nullptr), slice).sum();
}

torch::Tensor MaskedLmHead::outputs(const HeadInput& input, const TaskSlice& slice) const {
  return at::addmm(bias_->tensor, hidden(input, masked_rows(input, slice)), input.embedding.t());
}

torch::Tensor MaskedLmHead::distilled_loss(const HeadInput& input, const TaskSlice& slice,
                                           const Distillation& teacher) const {
  return weighted(losses(input, slice, &teacher), slice).sum();
}

Scored MaskedLmHead::score(const HeadInput& input, const TaskSlice& slice) const {
  return score_targets(outputs(input, slice), slice.masked_tokens, offsets_of(rows_of(slice), input.segments.offsets));
}

Predicted MaskedLmHead::predict(const HeadInput& input) const {
  const torch::Tensor rows = input.tokens.eq(spec_.mask).nonzero().squeeze(1);
  const auto at = to_host(rows);
  const auto best = to_host(at::addmm(bias_->tensor, hidden(input, rows), input.embedding.t()).argmax(1));
  const std::vector<std::int64_t> offsets = offsets_of(at, input.segments.offsets);
  Predicted predicted;
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    predicted.ids.emplace_back(best.begin() + offsets[i], best.begin() + offsets[i + 1]);
  return predicted;
}

}  // namespace polyhead
