// Multilabel: a binary cross-entropy for each class on the weighted synthesis of the text.
#include "core/heads/multilabel.h"

#include "core/metrics/scores.h"

namespace polyhead {
namespace {

// Returns binary cross-entropies, [sequences, classes].
torch::Tensor cross_entropies(const torch::Tensor& logits, const TaskSlice& slice) {
  const torch::Tensor targets = to_device(slice.labels, logits).view(logits.sizes()).to(logits.scalar_type());
  return at::binary_cross_entropy_with_logits(logits, targets, {}, {}, at::Reduction::None);
}

// Converts the logit of a label to two logits: the label, and its absence.
torch::Tensor two_way(const torch::Tensor& logits) {
  return at::stack({logits, at::zeros_like(logits)}, -1);
}

}  // namespace

MultilabelHead::MultilabelHead(const HeadSpec& spec) : PooledHead(spec, spec.classes) {}

torch::Tensor MultilabelHead::loss(const HeadInput& input, const TaskSlice& slice) const {
  return weighted(cross_entropies(output(input), slice), slice).sum();
}

torch::Tensor MultilabelHead::outputs(const HeadInput& input, const TaskSlice& /*slice*/) const {
  return output(input);
}

torch::Tensor MultilabelHead::distilled_loss(const HeadInput& input, const TaskSlice& slice,
                                             const Distillation& teacher) const {
  const torch::Tensor logits = output(input);
  torch::Tensor weights = weights_of(slice, logits);
  if (weights.defined()) weights = weights.unsqueeze(1);  // of all classes of a sample
  const torch::Tensor divergence =
      softened_divergence(two_way(logits), {two_way(teacher.outputs), teacher.share, teacher.temperature}, weights);
  return teacher.mix(weighted(cross_entropies(logits, slice), slice).sum(), divergence);
}

Scored MultilabelHead::score(const HeadInput& input, const TaskSlice& slice) const {
  const torch::Tensor logits = output(input);
  return {.loss = to_host_double(cross_entropies(logits, slice).sum(1)),
          .count = std::vector<std::int64_t>(static_cast<std::size_t>(slice.sequences), 1),
          .predicted = {},
          .values = to_host_double(at::sigmoid(logits))};
}

Predicted MultilabelHead::predict(const HeadInput& input) const {
  Predicted predicted{.ids = {}, .probability = {}, .values = to_host_double(at::sigmoid(output(input)))};
  const auto classes = static_cast<std::size_t>(spec_.classes);
  for (std::size_t i = 0; i < predicted.values.size(); i += classes) {
    std::vector<std::int64_t>& labels = predicted.ids.emplace_back();
    for (std::size_t c = 0; c < classes; ++c)
      if (predicted.values[i + c] >= kThreshold) labels.push_back(static_cast<std::int64_t>(c));
  }
  return predicted;
}

}  // namespace polyhead
