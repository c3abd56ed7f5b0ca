// Masked language modelling: only the masked rows, one hidden layer, and the encoder's token table as output layer.
#include "core/heads/masked_lm.h"

#include "core/model/task_attention.h"

namespace polyhead {
namespace {

// Returns the slice's masked rows, counted from the first token of the slice.
torch::Tensor masked_rows(const HeadInput& input, const TaskSlice& slice) {
  std::vector<std::int64_t> rows = slice.masked_rows;
  for (std::int64_t& row : rows) row -= slice.first_token;
  return to_device(rows, input.states);
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
  return losses(input, slice, nullptr).sum();
}

torch::Tensor MaskedLmHead::outputs(const HeadInput& input, const TaskSlice& slice) const {
  return at::addmm(bias_->tensor, hidden(input, masked_rows(input, slice)), input.embedding.t());
}

torch::Tensor MaskedLmHead::distilled_loss(const HeadInput& input, const TaskSlice& slice,
                                           const Distillation& teacher) const {
  return losses(input, slice, &teacher).sum();
}

Scored MaskedLmHead::score(const HeadInput& input, const TaskSlice& slice) const {
  const torch::Tensor logits = outputs(input, slice);
  const auto loss = to_host_double(
      at::cross_entropy_loss(logits, to_device(slice.masked_tokens, input.states), {}, at::Reduction::None));
  Scored scored{.loss = std::vector<double>(static_cast<std::size_t>(slice.sequences)),
                .count = std::vector<std::int64_t>(static_cast<std::size_t>(slice.sequences)),
                .predicted = to_host(logits.argmax(1)),
                .values = {}};
  std::size_t sequence = 0;
  for (std::size_t i = 0; i < loss.size(); ++i) {
    while (slice.masked_rows[i] - slice.first_token >= input.segments.offsets[sequence + 1]) ++sequence;
    scored.loss[sequence] += loss[i];
    ++scored.count[sequence];
  }
  return scored;
}

Predicted MaskedLmHead::predict(const HeadInput& input) const {
  const torch::Tensor rows = input.tokens.eq(spec_.mask).nonzero().squeeze(1);
  const auto at = to_host(rows);
  const auto best = to_host(at::addmm(bias_->tensor, hidden(input, rows), input.embedding.t()).argmax(1));
  Predicted predicted{
      .ids = std::vector<std::vector<std::int64_t>>(static_cast<std::size_t>(input.segments.sequences())),
      .probability = {},
      .values = {}};
  std::size_t sequence = 0;
  for (std::size_t i = 0; i < at.size(); ++i) {
    while (at[i] >= input.segments.offsets[sequence + 1]) ++sequence;
    predicted.ids[sequence].push_back(best[i]);
  }
  return predicted;
}

}  // namespace polyhead
