// One label a text, read from the task's synthesis: r_t -> linear, gelu, dropout, linear -> softmax.
#pragma once

#include "core/heads/head.h"
#include "core/model/layers.h"

namespace polyhead {

class ClassificationHead : public Head {
 public:
  explicit ClassificationHead(HeadSpec spec);
  torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override;
  Scored score(const HeadInput& input, const TaskSlice& slice) const override;
  Predicted predict(const HeadInput& input) const override;

 private:
  torch::Tensor logits(const HeadInput& input) const;  // [sequences, classes]
  Linear value_, hidden_, out_;
};

}  // namespace polyhead
