// Runs AdamW with one call of LibTorch's fused kernel for each part of the arena with the same decay and learning rate.
#include "core/optimizer/adamw.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace polyhead {

AdamW::AdamW(const Arena& arena, const std::vector<double>& scales, bool with_average, const IndexRange* of)
    : part(of ? *of : IndexRange{0, arena.values().numel()}) {
  const torch::Tensor values = arena.values().narrow(0, part.begin, part.size());
  mean = torch::zeros_like(values);
  square = torch::zeros_like(values);
  if (with_average) average = values.clone();
  struct Placed {
    const Parameter* parameter;
    double scale;
  };
  std::vector<Placed> placed;
  for (std::size_t i = 0; i < arena.parameters().size(); ++i)
    placed.push_back({&arena.parameters()[i], scales.empty() ? 1 : scales.at(i)});
  std::ranges::sort(placed, {}, [](const Placed& p) { return p.parameter->offset; });
  for (const auto& [parameter, scale] : placed) {
    if (!slices_.empty()) slices_.back().elements.end = parameter->offset;
    if (slices_.empty() || slices_.back().decay != parameter->decay || slices_.back().scale != scale ||
        slices_.back().trainable != parameter->trainable)
      slices_.push_back({{parameter->offset, 0}, parameter->decay, parameter->trainable, scale});
  }
  if (!slices_.empty()) slices_.back().elements.end = arena.values().numel();
  for (Slice& slice : slices_) {
    slice.elements.begin = std::max(slice.elements.begin, part.begin);
    slice.elements.end = std::min(slice.elements.end, part.end);
  }
  std::erase_if(slices_, [](const Slice& slice) { return slice.elements.size() <= 0 || !slice.trainable; });
}

void AdamW::step(Arena& arena, const OptimizerOptions& options, double lr, double scale) {
  const auto mine = [&](const torch::Tensor& flat) { return flat.narrow(0, part.begin, part.size()); };
  const torch::Tensor values = mine(arena.values()), gradients = mine(arena.gradients());
  if (scale != 1) gradients.mul_(scale);
  ++steps;
  const torch::Tensor count =
      torch::full({}, static_cast<double>(steps), arena.values().options().dtype(torch::kFloat32));
  for (const Slice& slice : slices_) {
    const auto of = [&](const torch::Tensor& flat) {
      return std::vector<torch::Tensor>{flat.narrow(0, slice.elements.begin - part.begin, slice.elements.size())};
    };
    // The kernel expects lr as a plain number and the counter as a tensor.
    at::_fused_adamw_(of(values), of(gradients), of(mean), of(square), {}, {count}, lr * slice.scale, options.beta1,
                      options.beta2, slice.decay ? options.weight_decay : 0, options.epsilon,
                      /*amsgrad=*/false, /*maximize=*/false);
  }
  if (average.defined()) {
    const auto number = static_cast<double>(steps);
    average.lerp_(values, 1 - std::min(options.ema, (1 + number) / (10 + number)));
  }
}

std::vector<double> layer_scales(const Arena& encoder, double decay) {
  std::vector<double> scales;
  for (const Parameter& parameter : encoder.parameters())
    scales.push_back(std::pow(decay, static_cast<double>(parameter.depth)));
  return scales;
}

double clip_scale(double norm, double clip) {
  return clip > 0 && norm > clip ? clip / norm : 1;
}

double learning_rate(const OptimizerOptions& options, std::int64_t step, std::int64_t steps) {
  const auto warmup = static_cast<double>(options.warmup), number = static_cast<double>(step);
  if (step <= options.warmup) return options.lr * number / warmup;
  if (options.schedule == Schedule::constant) return options.lr;
  if (options.schedule == Schedule::inverse_sqrt) return options.lr * std::sqrt(std::max(1.0, warmup) / number);
  const double length = std::max(1.0, static_cast<double>(steps) - warmup);
  const double done = std::min(1.0, (number - 1 - warmup) / length);
  if (options.schedule == Schedule::linear) return options.lr * (1 - done);
  return options.lr * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

}  // namespace polyhead
