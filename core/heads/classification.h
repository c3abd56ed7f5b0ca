// Predicts one label per text from the task's synthesis: r_t -> linear, gelu, dropout, linear -> softmax. The loss of a
// sample with label y is w_y (1 - p_y)^gamma times the smoothed cross-entropy, where w are class weights (all 1 unless
// balanced) and gamma is that of the focal loss (Lin et al., 2017; 0 disables it).
#pragma once

#include "core/heads/pooled.h"

namespace polyhead {

class ClassificationHead : public PooledHead {
 public:
  explicit ClassificationHead(const HeadSpec& spec);
  bool uses_weights() const override { return true; }
  torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor outputs(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor distilled_loss(const HeadInput& input, const TaskSlice& slice,
                               const Distillation& teacher) const override;
  Scored score(const HeadInput& input, const TaskSlice& slice) const override;
  Predicted predict(const HeadInput& input) const override;

 private:
  torch::Tensor loss_of(const torch::Tensor& logits, const TaskSlice& slice) const;
};

}  // namespace polyhead
