// Classification: weighted synthesis of the text, one hidden layer, cross-entropy over the classes.
#include "core/heads/classification.h"

#include "core/heads/plain_loss.h"

namespace polyhead {

ClassificationHead::ClassificationHead(const HeadSpec& spec) : PooledHead(spec, spec.classes) {}

torch::Tensor ClassificationHead::loss_of(const torch::Tensor& logits, const TaskSlice& slice) const {
  const torch::Tensor labels = to_device(slice.labels, logits);
  const double smoothing = spec_.options.label_smoothing, gamma = spec_.options.focal_gamma;
  const std::vector<double>& weights = spec_.statistics.class_weights;
  if (smoothing > 0 && PlainLoss::wanted())
    PlainLoss::report(
        slice.weights.empty()
            ? at::cross_entropy_loss(logits.detach(), labels, {}, at::Reduction::Sum)
            : weighted(at::cross_entropy_loss(logits.detach(), labels, {}, at::Reduction::None), slice).sum());
  if (gamma == 0 && weights.empty() && slice.weights.empty())
    return at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum, kIgnore, smoothing);
  torch::Tensor loss = at::cross_entropy_loss(logits, labels, {}, at::Reduction::None, kIgnore, smoothing);
  if (gamma > 0) {
    const torch::Tensor log_p = at::log_softmax(logits, 1).gather(1, labels.unsqueeze(1)).squeeze(1);
    // Bounded from below, because the slope of the power is infinite at 0 for gamma below 1.
    loss = loss * at::pow(at::clamp_min(-at::expm1(log_p), 1e-12), gamma);
  }
  if (!weights.empty()) loss = loss * to_device(weights, logits).index_select(0, labels);
  return weighted(loss, slice).sum();
}

torch::Tensor ClassificationHead::loss(const HeadInput& input, const TaskSlice& slice) const {
  return loss_of(output(input), slice);
}

torch::Tensor ClassificationHead::outputs(const HeadInput& input, const TaskSlice& /*slice*/) const {
  return output(input);
}

torch::Tensor ClassificationHead::distilled_loss(const HeadInput& input, const TaskSlice& slice,
                                                 const Distillation& teacher) const {
  const torch::Tensor logits = output(input);
  return teacher.mix(loss_of(logits, slice), softened_divergence(logits, teacher, weights_of(slice, logits)));
}

Scored ClassificationHead::score(const HeadInput& input, const TaskSlice& slice) const {
  const torch::Tensor out = output(input);
  const torch::Tensor loss =
      at::cross_entropy_loss(out, to_device(slice.labels, input.states), {}, at::Reduction::None);
  return {.loss = to_host_double(loss),
          .count = std::vector<std::int64_t>(slice.labels.size(), 1),
          .predicted = to_host(out.argmax(1)),
          .values = {}};
}

Predicted ClassificationHead::predict(const HeadInput& input) const {
  const auto [probability, label] = at::softmax(output(input), 1).max(1);
  Predicted predicted{.ids = {}, .probability = to_host_double(probability), .values = {}};
  for (const std::int64_t id : to_host(label)) predicted.ids.push_back({id});
  return predicted;
}

}  // namespace polyhead
