// AdamW over a flat arena (LibTorch's fused kernel), gradient clipping, and the learning-rate schedule.
#pragma once

#include <cstdint>

#include "core/model/arena.h"
#include "core/model/options.h"

namespace polyhead {

// The optimizer state of one arena. An owner that is inactive in a step is not touched: it counts its own steps.
struct AdamW {
  torch::Tensor mean, square;  // first and second moments, as long as the arena
  std::int64_t steps = 0;

  explicit AdamW(const Arena& arena);
  // One update from the arena's gradients, which are multiplied by `scale` first.
  void step(Arena& arena, const OptimizerOptions& options, double lr, double scale);
};

// What to multiply a gradient of this norm by so that it is at most `clip` (0: no bound).
double clip_scale(double norm, double clip);

// Linear warm-up to `options.lr`, then a cosine that reaches 0 after `steps`: the last step still learns. step counts
// from 1.
double learning_rate(const OptimizerOptions& options, std::int64_t step, std::int64_t steps);

}  // namespace polyhead
