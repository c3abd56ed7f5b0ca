#include "core/optimizer/adamw.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "core/base/error.h"

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

void check(const OptimizerOptions& options) {
  const auto require = [](bool good, const char* key, double value, const char* expected) {
    if (!good) throw Error(Exit::config, fmt::format("optimizer.{} = {}: it must {}", key, value, expected));
  };
  require(options.lr > 0 && std::isfinite(options.lr), "lr", options.lr, "be above 0");
  require(options.warmup >= 0, "warmup", static_cast<double>(options.warmup), "be at least 0");
  require(options.weight_decay >= 0, "weight_decay", options.weight_decay, "be at least 0");
  require(options.beta1 >= 0 && options.beta1 < 1, "beta1", options.beta1, "lie in [0, 1)");
  require(options.beta2 >= 0 && options.beta2 < 1, "beta2", options.beta2, "lie in [0, 1)");
  require(options.epsilon > 0, "epsilon", options.epsilon, "be above 0");
  require(options.clip >= 0, "clip", options.clip, "be at least 0 (0: no bound)");
  require(options.head_clip >= 0, "head_clip", options.head_clip, "be at least 0 (0: no bound)");
}

}  // namespace polyhead
