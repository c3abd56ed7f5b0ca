// The shared encoder: a transformer over packed sequences, and the part of task attention that all tasks share (keys,
// queries, importance). A full copy lives on every worker.
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/arena.h"
#include "core/model/layers.h"
#include "core/model/operations.h"
#include "core/model/options.h"

namespace polyhead {

class Encoder {
 public:
  // tasks: those that the model is trained with; slot t + 1 of the queries belongs to task t.
  Encoder(const EncoderOptions& options, const AttentionOptions& attention, std::int64_t vocab_size,
          std::int64_t tasks);

  Arena& arena() { return arena_; }
  const Arena& arena() const { return arena_; }
  const EncoderOptions& options() const { return options_; }

  struct Output {
    torch::Tensor states;   // [tokens, dim], normalised
    torch::Tensor weights;  // [attention heads, tokens, tasks + 1]
  };
  // tokens: [tokens] i64 on the parameters' device. At least one token.
  Output forward(const torch::Tensor& tokens, const Segments& segments, const DropoutKeys& keys) const;
  // Places where dropout happens: the sites that `keys` needs.
  std::int64_t dropout_sites() const { return 1 + 2 * options_.layers; }

  // The token table, [vocabulary, dim]; heads that predict words tie their output to it.
  torch::Tensor embedding() const { return embedding_->tensor; }
  // softmax(b_1..b_T): [tasks].
  torch::Tensor importance() const;

 private:
  EncoderOptions options_;
  AttentionOptions attention_;
  Arena arena_;
  Parameter* embedding_;
  struct Block {
    SelfAttention attention;
    FeedForward feed_forward;
  };
  std::vector<Block> blocks_;
  LayerNorm norm_;
  Parameter *task_key_, *task_queries_, *task_importance_;
};

}  // namespace polyhead
