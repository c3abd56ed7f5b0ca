// AdamW over a flat arena (LibTorch's fused kernel), gradient clipping, and the learning rate schedule.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/index_range.h"
#include "core/model/arena.h"
#include "core/model/options.h"

namespace polyhead {

// The optimizer state of an arena, or of a part of it. In steps in which the owner is inactive it does not change; it
// counts its own steps.
struct AdamW {
  torch::Tensor mean, square;  // first and second moments of the part's elements
  IndexRange part;             // elements of the arena's flat buffer
  std::int64_t steps = 0;
  // Exponential moving average of the values after each update, starting from the initial values: average += (1 - d)
  // (values - average) with d = min(options.ema, (1 + steps) / (10 + steps)), so that the initial values are soon
  // forgotten. Undefined: no average is kept.
  torch::Tensor average;

  // scales: factors of the learning rate by parameter, in the arena's order; empty: all 1. part: part of the arena's
  // buffer; null: all of it.
  explicit AdamW(const Arena& arena, const std::vector<double>& scales = {}, bool with_average = false,
                 const IndexRange* part = nullptr);
  // Updates the part with its gradients, which are first multiplied by `scale`.
  void step(Arena& arena, const OptimizerOptions& options, double lr, double scale);

 private:
  // Consecutive parameters of the arena with the same settings.
  struct Slice {
    IndexRange elements;  // of the arena, padding included
    bool decay = false, trainable = true;
    double scale = 1;
  };
  std::vector<Slice> slices_;
};

// Layer-wise learning rate decay (Howard and Ruder, 2018, in the form of BEiT). Returns decay^depth for each parameter:
// 1 above the blocks, `decay` in the top block, and decay^(layers + 1) in the embeddings.
std::vector<double> layer_scales(const Arena& encoder, double decay);

// Returns the factor that scales a gradient of this norm to a norm of at most `clip` (0: no limit).
double clip_scale(double norm, double clip);

// Returns the learning rate of a step, counted from 1: a linear warm-up to `options.lr`, then options.schedule.
// - cosine, linear: decay that reaches 0 after `steps`, so the last step still learns.
// - inverse_sqrt: lr * sqrt(warmup / step) (Vaswani et al., 2017); without warm-up lr / sqrt(step).
// - constant: lr.
double learning_rate(const OptimizerOptions& options, std::int64_t step, std::int64_t steps);

}  // namespace polyhead
