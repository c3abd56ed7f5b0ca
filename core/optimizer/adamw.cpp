// AdamW in two calls of LibTorch's fused kernel: the parameters that decay, then those that do not.
#include "core/optimizer/adamw.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace polyhead {

AdamW::AdamW(const Arena& arena) : mean(torch::zeros_like(arena.values())), square(torch::zeros_like(arena.values())) {}

void AdamW::step(Arena& arena, const OptimizerOptions& options, double lr, double scale) {
  if (scale != 1) arena.gradients().mul_(scale);
  ++steps;
  const torch::Tensor count =
      torch::full({}, static_cast<double>(steps), arena.values().options().dtype(torch::kFloat32));
  const std::int64_t size = arena.values().numel();
  const auto update = [&](std::int64_t begin, std::int64_t end, double decay) {
    if (begin == end) return;
    const auto slice = [&](const torch::Tensor& flat) {
      return std::vector<torch::Tensor>{flat.narrow(0, begin, end - begin)};
    };
    // lr is passed to the kernel as a plain number; the counter as a tensor, as it wants.
    at::_fused_adamw_(slice(arena.values()), slice(arena.gradients()), slice(mean), slice(square), {}, {count}, lr,
                      options.beta1, options.beta2, decay, options.epsilon, /*amsgrad=*/false, /*maximize=*/false);
  };
  update(0, arena.decayed(), options.weight_decay);
  update(arena.decayed(), size, 0);
}

double clip_scale(double norm, double clip) {
  return clip > 0 && norm > clip ? clip / norm : 1;
}

double learning_rate(const OptimizerOptions& options, std::int64_t step, std::int64_t steps) {
  if (step <= options.warmup) return options.lr * static_cast<double>(step) / static_cast<double>(options.warmup);
  const double length = static_cast<double>(std::max<std::int64_t>(1, steps - options.warmup));
  const double done = std::min(1.0, static_cast<double>(step - 1 - options.warmup) / length);
  return options.lr * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

}  // namespace polyhead
