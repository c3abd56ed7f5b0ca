// AdamW over a flat arena (LibTorch's fused kernel), gradient clipping, and the learning-rate schedule.
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/arena.h"
#include "core/model/options.h"

namespace polyhead {

// Elements [begin, end) of a flat buffer.
struct Stretch {
  std::int64_t begin = 0, end = 0;
};

// The optimizer state of one arena, or of a part of it. An owner that is inactive in a step is not touched: it counts
// its own steps.
struct AdamW {
  torch::Tensor mean, square;  // first and second moments, as long as the part
  Stretch part;
  std::int64_t steps = 0;
  // Exponential moving average of the values after each update, from their start: average += (1 - d) (values - average)
  // with d = min(options.ema, (1 + steps) / (10 + steps)), so that the start is soon forgotten. Undefined: none is
  // kept.
  torch::Tensor average;

  // scales: of the learning rate, by parameter, in the arena's order; empty: all 1
  // part: of the arena's buffer; null: all of it
  explicit AdamW(const Arena& arena, const std::vector<double>& scales = {}, bool with_average = false,
                 const Stretch* part = nullptr);
  // One update of the part from its gradients, which are multiplied by `scale` first.
  void step(Arena& arena, const OptimizerOptions& options, double lr, double scale);

 private:
  // Consecutive parameters of the arena that are updated alike.
  struct Slice {
    std::int64_t begin = 0, end = 0;  // elements of the arena, padding included
    bool decay = false, trainable = true;
    double scale = 1;
  };
  std::vector<Slice> slices_;
};

// Layer-wise learning-rate decay (Howard and Ruder, 2018, in BEiT's form): decay^depth for each parameter, so 1 above
// the blocks, `decay` in the top block, and decay^(layers + 1) in the embeddings.
std::vector<double> layer_scales(const Arena& encoder, double decay);

// What to multiply a gradient of this norm by so that it is at most `clip` (0: no bound).
double clip_scale(double norm, double clip);

// Linear warm-up to `options.lr`, then by `options.schedule`: a cosine or a straight line that reach 0 after `steps`,
// so that the last step still learns; lr * sqrt(warmup / step) (inverse_sqrt: Vaswani et al., 2017; without warm-up 1 /
// sqrt(step)); or lr. step counts from 1.
double learning_rate(const OptimizerOptions& options, std::int64_t step, std::int64_t steps);

}  // namespace polyhead
