// Predicts one tag per word, from the word's first piece: h_i + w_it V_t h_i -> dropout, linear -> softmax.
#pragma once

#include "core/heads/head.h"
#include "core/model/layers.h"

namespace polyhead {

class TaggingHead : public Head {
 public:
  explicit TaggingHead(HeadSpec spec);
  bool uses_weights() const override { return true; }
  torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor outputs(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor distilled_loss(const HeadInput& input, const TaskSlice& slice,
                               const Distillation& teacher) const override;
  Scored score(const HeadInput& input, const TaskSlice& slice) const override;
  Predicted predict(const HeadInput& input) const override;

 private:
  torch::Tensor logits(const HeadInput& input) const;  // [tokens, classes]
  torch::Tensor loss_of(const torch::Tensor& logits, const TaskSlice& slice) const;
  Linear value_, out_;
};

}  // namespace polyhead
