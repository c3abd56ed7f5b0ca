#include "ordinal.h"

#include <cstdlib>

#include "core/base/error.h"

using namespace polyhead;

OrdinalHead::OrdinalHead(const HeadSpec& spec) : PooledHead(spec, 1) {
  const std::string link = OwnOptions(spec, {"link"}).text("link", "logit");
  if (link != "logit" && link != "probit")
    throw Error(Exit::config, "task." + spec.task + ".head_options: link = " + link + ": use logit or probit");
  if (spec.classes < 2)
    throw Error(Exit::config, "task " + spec.task + ": its head ordinal needs at least two classes");
  probit_ = link == "probit";
  // 2 apart: were it 1, the second grade from either end could never be the most probable.
  first_ = arena_.constant("first_threshold", {1}, 2 - static_cast<double>(spec.classes));
  if (spec.classes > 2) gaps_ = arena_.constant("gaps", {spec.classes - 2}, 1.8546);  // softplus: 2
}

torch::Tensor OrdinalHead::log_probabilities(const HeadInput& input) const {
  torch::Tensor thresholds = first_->tensor;
  if (gaps_) thresholds = torch::cat({thresholds, thresholds + at::softplus(gaps_->tensor).cumsum(0)});
  const torch::Tensor z = thresholds - output(input);  // [sequences, classes - 1]
  const torch::Tensor below = z.slice(1, 0, -1), above = z.slice(1, 1);
  if (probit_) {
    // log(e^b' - e^a'); where both ends lie above 0, of the mirrored ones, whose logarithms have digits.
    const torch::Tensor low = at::special_log_ndtr(at::where(below > 0, -above, below)),
                        high = at::special_log_ndtr(at::where(below > 0, -below, above));
    const torch::Tensor between = high + (-at::expm1(low - high)).log();
    return torch::cat({at::special_log_ndtr(z.slice(1, 0, 1)), between, at::special_log_ndtr(-z.slice(1, -1))}, 1);
  }
  // F(b) - F(a) = F(b) F(-a) (1 - e^(a - b))
  const torch::Tensor between = at::log_sigmoid(above) + at::log_sigmoid(-below) + (-at::expm1(below - above)).log();
  return torch::cat({at::log_sigmoid(z.slice(1, 0, 1)), between, at::log_sigmoid(-z.slice(1, -1))}, 1);
}

torch::Tensor OrdinalHead::loss(const HeadInput& input, const TaskSlice& slice) const {
  return at::nll_loss(log_probabilities(input), to_device(slice.labels, input.states), {}, at::Reduction::Sum);
}

Scored OrdinalHead::score(const HeadInput& input, const TaskSlice& slice) const {
  const torch::Tensor log_p = log_probabilities(input);
  const torch::Tensor loss = at::nll_loss(log_p, to_device(slice.labels, input.states), {}, at::Reduction::None);
  return {.loss = to_host_double(loss),
          .count = std::vector<std::int64_t>(slice.labels.size(), 1),
          .predicted = to_host(log_p.argmax(1)),
          .values = {}};
}

Predicted OrdinalHead::predict(const HeadInput& input) const {
  const auto [log_p, label] = log_probabilities(input).max(1);
  Predicted predicted{.ids = {}, .probability = to_host_double(log_p.exp()), .values = {}};
  for (const std::int64_t id : to_host(label)) predicted.ids.push_back({id});
  return predicted;
}

SampleRow grade_distance(const ScoredSample& sample) {
  const std::int64_t label = sample.slice.labels[sample.index], predicted = sample.scored.predicted[sample.index];
  return {static_cast<double>(std::abs(predicted - label)), 1};
}
