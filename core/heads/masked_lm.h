// Predicts the tokens at masked positions: h_i + w_it V_t h_i -> linear, gelu, norm -> the encoder's token table ->
// softmax over the vocabulary.
#pragma once

#include "core/heads/head.h"
#include "core/model/layers.h"

namespace polyhead {

class MaskedLmHead : public Head {
 public:
  explicit MaskedLmHead(HeadSpec spec);
  bool uses_weights() const override { return true; }
  torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor outputs(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor distilled_loss(const HeadInput& input, const TaskSlice& slice,
                               const Distillation& teacher) const override;
  Scored score(const HeadInput& input, const TaskSlice& slice) const override;
  // Predicts the positions whose token is <mask>.
  Predicted predict(const HeadInput& input) const override;

 private:
  torch::Tensor hidden(const HeadInput& input, const torch::Tensor& rows) const;  // [rows, dim]
  torch::Tensor losses(const HeadInput& input, const TaskSlice& slice, const Distillation* teacher) const;  // [rows]
  Linear value_, transform_;
  LayerNorm norm_;
  Parameter* bias_;
};

}  // namespace polyhead
