// Translation with a pre-norm transformer decoder over the packed targets; its output layer is the encoder's token
// table.
// - Cross-attention adds log w_it, where w_it is the word's weight for this task, to the scores. One additional learned
//   position after the words gets log(delta) = 0.
// - Its queries are rotated by their positions in the target and its keys by those in the source, so that words at
//   nearby positions attend to each other.
// together.
#pragma once

#include "core/heads/head.h"
#include "core/model/layers.h"

namespace polyhead {

class TranslationHead : public Head {
 public:
  explicit TranslationHead(HeadSpec spec);
  bool uses_weights() const override { return true; }
  torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor outputs(const HeadInput& input, const TaskSlice& slice) const override;
  torch::Tensor distilled_loss(const HeadInput& input, const TaskSlice& slice,
                               const Distillation& teacher) const override;
  Scored score(const HeadInput& input, const TaskSlice& slice) const override;
  Predicted predict(const HeadInput& input) const override { return generate(input, {}); }
  // Beam search with a key/value cache over all sequences at once. It generates at most min(options.max_target, 2n + 8)
  // tokens for a source of n tokens, "eos" included.
  Predicted generate(const HeadInput& input, const SearchOptions& options) const override;

 private:
  struct Memory {          // input of cross-attention: the words and the additional position of each sequence
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
