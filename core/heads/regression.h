// Predicts one or more numbers per text: r_t -> linear, gelu, dropout, linear.
// - It is trained on targets standardised by the means and deviations of the train split; its predictions are in the
//   units of the data.
// - The loss of a sample is the mean over its outputs of the squared error, or of the Huber loss (e^2 / 2 up to delta,
//   then delta (|e| - delta / 2)), of the standardised values.
#pragma once

#include "core/heads/pooled.h"

namespace polyhead {

class RegressionHead : public PooledHead {
 public:
  explicit RegressionHead(const HeadSpec& spec);
  bool uses_weights() const override { return true; }
  torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor outputs(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor distilled_loss(const HeadInput& input, const TaskSlice& slice,
                               const Distillation& teacher) const override;
  Scored score(const HeadInput& input, const TaskSlice& slice) const override;
  Predicted predict(const HeadInput& input) const override;

 private:
  // Return [sequences]. output and target: [sequences, outputs], standardised.
  torch::Tensor losses(const torch::Tensor& output, const torch::Tensor& target) const;
  torch::Tensor losses(const torch::Tensor& output, const TaskSlice& slice) const;
  torch::Tensor values(const torch::Tensor& output) const;  // [sequences, outputs] in the units of the data, in double
};

}  // namespace polyhead
