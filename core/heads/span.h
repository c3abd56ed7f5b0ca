// Extracts an answer from a context, which follows a question in the same sequence: h_i + w_it V_t h_i -> dropout,
// linear -> a start and an end score for every token of the context, each with a softmax over the context.
// - The loss of a sample is the mean of the two cross-entropies; 0 if its answer was cut off.
// - The prediction is the best pair of a first and a last token, at most kLongestAnswer tokens long; its probability is
//   p(first) p(last) (Devlin et al., 2019, section 4.2).
#pragma once

#include "core/heads/head.h"
#include "core/model/layers.h"

namespace polyhead {

// Maximum length of an answer in tokens, as in BERT's own program for SQuAD.
inline constexpr std::int64_t kLongestAnswer = 30;

class SpanHead : public Head {
 public:
  explicit SpanHead(HeadSpec spec);
  bool uses_weights() const override { return true; }
  torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override;
  // Returns [2 sequences, longest sequence]: for each sequence its start scores, then its end scores.
  torch::Tensor outputs(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor distilled_loss(const HeadInput& input, const TaskSlice& slice,
                               const Distillation& teacher) const override;
  // Scored::predicted is the first and the last row of each sequence's best answer.
  Scored score(const HeadInput& input, const TaskSlice& slice) const override;
  // Reads as the context what HeadInput::second says.
  Predicted predict(const HeadInput& input) const override;

 private:
  // context: [sequences] row of each sequence where its context begins. Rows before it, and the special tokens bos, eos
  // and mask, get a score whose probability is 0.
  torch::Tensor logits(const HeadInput& input, const std::vector<std::int64_t>& context) const;
  Linear value_, out_;
};

}  // namespace polyhead
