// Translation: a pre-norm transformer decoder over the packed targets, tied to the token table. Its cross-attention
// adds log w_it, the word's weight for this task, to the scores, and log(delta) = 0 to one extra learned position after
// the words. Its queries and keys turn with their positions in target and source: words of near positions belong
// together.
#pragma once

#include "core/heads/head.h"
#include "core/model/layers.h"

namespace polyhead {

class TranslationHead : public Head {
 public:
  explicit TranslationHead(HeadSpec spec);
  torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor outputs(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor distilled_loss(const HeadInput& input, const TaskSlice& slice,
                               const Distillation& teacher) const override;
  Scored score(const HeadInput& input, const TaskSlice& slice) const override;
  Predicted predict(const HeadInput& input) const override { return generate(input, {}); }
  // Beam search with a key/value cache, all sequences at once; at most options.max_target tokens and twice the source
  // plus 8, "eos" included.
  Predicted generate(const HeadInput& input, const SearchOptions& options) const override;

 private:
  struct Memory {          // what cross-attention reads: the words and the extra position of each sequence
    torch::Tensor states;  // [tokens + sequences, dim]
    torch::Tensor bias;    // [tokens + sequences]
    Segments segments;
  };
  struct Layer {
    SelfAttention self;
    LayerNorm norm;
    Linear query, key_value, out;
    FeedForward feed_forward;
  };
  Memory memory(const HeadInput& input) const;
  torch::Tensor embed(const HeadInput& input, const torch::Tensor& tokens) const;
  torch::Tensor decode(const HeadInput& input, const TaskSlice& slice) const;  // [target tokens, dim]
  // [target tokens]
  torch::Tensor losses(const HeadInput& input, const TaskSlice& slice, const Distillation* teacher) const;

  std::vector<Layer> layers_;
  LayerNorm norm_;
  Parameter *no_word_, *bias_;
};

}  // namespace polyhead
