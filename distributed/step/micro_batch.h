// The loss of one micro-batch: the weighted sum of its tasks' losses.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "core/heads/model.h"
#include "distributed/step/gradients.h"
#include "distributed/step/lesson.h"
#include "distributed/step/step_record.h"

namespace polyhead {

struct LossOptions {
  std::vector<double> weights;  // [tasks] of the mean over each task's targets (Balancer)
  double entropy_bonus = 0;     // AttentionOptions::entropy_bonus
};

struct MicroBatchLoss {
  std::vector<std::size_t> tasks;  // [slices]
  // [slices] scalars, sums over the slice's targets; undefined: none
  std::vector<torch::Tensor> sums;   // of the loss
  std::vector<torch::Tensor> plain;  // without label smoothing
  std::vector<torch::Tensor> bonus;  // [slices] the sum of the task's entropy over its words; undefined: no bonus

  // Returns the scalar on which backward is called; undefined: the micro-batch has no target. step: with the counts of
  // the whole step.
  torch::Tensor total(const LossOptions& options, const StepRecord& step) const;
};

// Runs the forward pass. lessons: by the slice's index. step: with the counts of the whole step.
MicroBatchLoss micro_batch_loss(const Model& model, const Batch& batch, const std::map<std::size_t, Lesson>& lessons,
                                double entropy_bonus, const StepRecord& step);

// Adds the micro-batch's losses, as rounded by `gradients`, to those of the step.
void add_losses(const MicroBatchLoss& loss, const Gradients& gradients, StepRecord& step);

}  // namespace polyhead
