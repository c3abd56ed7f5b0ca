// One tag a word, read at the word's first piece: h_i + w_it V_t h_i -> dropout, linear -> softmax.
#pragma once

#include "core/heads/head.h"
#include "core/model/layers.h"

namespace polyhead {

class TaggingHead : public Head {
 public:
  explicit TaggingHead(HeadSpec spec);
  torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override;
  Scored score(const HeadInput& input, const TaskSlice& slice) const override;
  Predicted predict(const HeadInput& input) const override;

 private:
  torch::Tensor logits(const HeadInput& input) const;  // [tokens, classes]
  Linear value_, out_;
};

}  // namespace polyhead
