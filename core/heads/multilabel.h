// Predicts any number of labels per text, each by its own sigmoid: r_t -> linear, gelu, dropout, linear. The loss of a
// sample is the sum of the binary cross-entropies of its classes, which is the negative log-likelihood of its label
// set.
#pragma once

#include "core/heads/pooled.h"

namespace polyhead {

class MultilabelHead : public PooledHead {
 public:
  explicit MultilabelHead(const HeadSpec& spec);
  bool uses_weights() const override { return true; }
  torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor outputs(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor distilled_loss(const HeadInput& input, const TaskSlice& slice,
                               const Distillation& teacher) const override;
  Scored score(const HeadInput& input, const TaskSlice& slice) const override;
  Predicted predict(const HeadInput& input) const override;
};

}  // namespace polyhead
