// Classification: weighted synthesis of the text, one hidden layer, cross-entropy over the classes.
#include "core/heads/classification.h"

#include "core/model/task_attention.h"

namespace polyhead {

ClassificationHead::ClassificationHead(HeadSpec spec) : Head(std::move(spec)) {
  const std::int64_t dim = spec_.encoder.dim;
  value_ = Linear(arena_, "value", dim, dim);
  hidden_ = Linear(arena_, "hidden", dim, dim);
  out_ = Linear(arena_, "out", dim, spec_.classes);
}

torch::Tensor ClassificationHead::logits(const HeadInput& input) const {
  const torch::Tensor read = synthesis(value_(input.states), input.weights, input.segments);
  torch::Tensor hidden = at::gelu(hidden_(read));
  if (!input.sample_keys.empty()) {
    // One row a sequence.
    std::vector<std::int64_t> offsets(input.sample_keys.size() + 1);
    for (std::size_t i = 0; i < offsets.size(); ++i) offsets[i] = static_cast<std::int64_t>(i);
    const DropoutKeys keys(Segments::from(std::move(offsets), hidden.device()), input.sample_keys, 1, 1,
                           hidden.device());
    hidden = dropout_add(hidden, {}, keys, 0, spec_.options.dropout);
  }
  return out_(hidden);
}

torch::Tensor ClassificationHead::loss(const HeadInput& input, const TaskSlice& slice) const {
  return at::cross_entropy_loss(logits(input), to_device(slice.labels, input.states), {}, at::Reduction::Sum, kIgnore,
                                spec_.options.label_smoothing);
}

Scored ClassificationHead::score(const HeadInput& input, const TaskSlice& slice) const {
  const torch::Tensor out = logits(input);
  const torch::Tensor loss =
      at::cross_entropy_loss(out, to_device(slice.labels, input.states), {}, at::Reduction::None);
  return {to_host_double(loss), std::vector<std::int64_t>(slice.labels.size(), 1), to_host(out.argmax(1))};
}

Predicted ClassificationHead::predict(const HeadInput& input) const {
  const auto [probability, label] = at::softmax(logits(input), 1).max(1);
  Predicted predicted{.ids = {}, .probability = to_host_double(probability)};
  for (const std::int64_t id : to_host(label)) predicted.ids.push_back({id});
  return predicted;
}

}  // namespace polyhead
