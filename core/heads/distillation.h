// Knowledge distillation: a head learns from the outputs of a teacher for the same samples (Hinton, Vinyals and Dean,
// 2015, "Distilling the Knowledge in a Neural Network").
#pragma once

#include "core/model/torch.h"

namespace polyhead {

// The loss of a target becomes (1 - share) L + share D, where D is the head's distance from the teacher.
struct Distillation {
  torch::Tensor outputs;   // the teacher's Head::outputs of the same slice, without a gradient
  double share = 0.5;      // in [0, 1]
  double temperature = 2;  // above 0; used in D if it compares probabilities

  torch::Tensor mix(const torch::Tensor& loss, const torch::Tensor& distance) const {
    return (1 - share) * loss + share * distance;
  }
};

// Returns D for outputs that are logits of a softmax over the last dimension, at temperature t: t^2
// KL(softmax(teacher.outputs / t) || softmax(logits / t)), summed over all rows. weights: factors of the rows, of the
// logits' first dimensions; undefined: all 1.
torch::Tensor softened_divergence(const torch::Tensor& logits, const Distillation& teacher,
                                  const torch::Tensor& weights = {});

}  // namespace polyhead
