// Regression: standardised targets, mean squared or Huber loss.
#include "core/heads/regression.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace polyhead {

RegressionHead::RegressionHead(const HeadSpec& spec) : PooledHead(spec, spec.outputs) {
  const auto outputs = static_cast<std::size_t>(spec_.outputs);
  if (spec_.statistics.mean.size() != outputs || spec_.statistics.deviation.size() != outputs)
    throw Error(Exit::data,
                fmt::format("task {}: its head has {} outputs, but {} means and {} deviations of the train split",
                            spec_.task, outputs, spec_.statistics.mean.size(), spec_.statistics.deviation.size()));
}

torch::Tensor RegressionHead::losses(const torch::Tensor& output, const torch::Tensor& target) const {
  return (spec_.options.loss == RegressionLoss::huber
              ? at::huber_loss(output, target, at::Reduction::None, spec_.options.delta)
              : at::mse_loss(output, target, at::Reduction::None))
      .mean(1);
}

torch::Tensor RegressionHead::losses(const torch::Tensor& output, const TaskSlice& slice) const {
  std::vector<double> targets = slice.values;
  const auto outputs = static_cast<std::size_t>(spec_.outputs);
  for (std::size_t i = 0; i < targets.size(); ++i)
    targets[i] = (targets[i] - spec_.statistics.mean[i % outputs]) / spec_.statistics.deviation[i % outputs];
  return losses(output, to_device(targets, output).view(output.sizes()));
}

torch::Tensor RegressionHead::values(const torch::Tensor& output) const {
  const torch::Tensor out = output.to(torch::kFloat64);
  return out * to_device(spec_.statistics.deviation, out) + to_device(spec_.statistics.mean, out);
}

torch::Tensor RegressionHead::loss(const HeadInput& input, const TaskSlice& slice) const {
  return weighted(losses(output(input), slice), slice).sum();
}

torch::Tensor RegressionHead::outputs(const HeadInput& input, const TaskSlice& /*slice*/) const {
  return values(output(input));
}

torch::Tensor RegressionHead::distilled_loss(const HeadInput& input, const TaskSlice& slice,
                                             const Distillation& teacher) const {
  const torch::Tensor out = output(input), values = teacher.outputs.to(torch::kFloat64);
  const torch::Tensor standard =
      (values - to_device(spec_.statistics.mean, values)) / to_device(spec_.statistics.deviation, values);
  return weighted(teacher.mix(losses(out, slice), losses(out, standard.to(out.scalar_type()))), slice).sum();
}

Scored RegressionHead::score(const HeadInput& input, const TaskSlice& slice) const {
  const torch::Tensor out = output(input);
  return {.loss = to_host_double(losses(out, slice)),
          .count = std::vector<std::int64_t>(static_cast<std::size_t>(slice.sequences), 1),
          .predicted = {},
          .values = to_host_double(values(out))};
}

Predicted RegressionHead::predict(const HeadInput& input) const {
  return {.ids = {}, .probability = {}, .values = to_host_double(values(output(input)))};
}

}  // namespace polyhead
