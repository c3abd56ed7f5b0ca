// The shared encoder: a transformer over packed sequences, and the part of task attention that all tasks share (keys,
// queries, importance). A full copy lives on every worker.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/model/arena.h"
#include "core/model/layers.h"
#include "core/model/operations.h"
#include "core/model/options.h"
#include "core/model/sharing.h"

namespace polyhead {

class Encoder {
 public:
  // tasks: those that the model is trained with; slot(t) of queries and weights belongs to task t.
  Encoder(const EncoderOptions& options, const AttentionOptions& attention, std::int64_t vocab_size, std::int64_t tasks,
          const InputOptions& inputs = {});

  Arena& arena() { return arena_; }
  const Arena& arena() const { return arena_; }
  const EncoderOptions& options() const { return options_; }

  struct Output {
    torch::Tensor states;   // [tokens, dim], normalised
    torch::Tensor weights;  // [attention heads, tokens, slots]: each word's weights over all tasks
  };
  // The rows of a packed batch, at least one, on the parameters' device. A row is a token or a vector; those of a pair
  // of texts also tell which of the two they belong to.
  struct Input {
    torch::Tensor tokens;  // [tokens] i64; not looked up where the row is a vector
    struct Vectors {
      std::int64_t first = 0;  // rows [first, first + n)
      torch::Tensor values;    // [n, width], of one of the widths that the encoder was made for
    };
    std::vector<Vectors> vectors;     // ascending
    torch::Tensor pair_rows, second;  // [rows of pairs] i64: the row, and 1 in the second text, 0 in the first;
                                      // undefined: no pairs. Ignored by an encoder that was made without pairs.
  };
  // tasks: whose rows these are, all of them in their order, with what the tasks own of the encoder; not looked at
  // where nothing is (share = hard). Throws Error(config) for a sequence that is longer than the positions of the form
  // bert.
  Output forward(const Input& input, const Segments& segments, const DropoutKeys& keys,
                 const std::vector<TaskRows>& tasks = {}) const;
  // Places where dropout happens: the sites that `keys` needs.
  std::int64_t dropout_sites() const {
    return attention_site(options_.attention_dropout > 0 ? options_.layers + shared_path_blocks(options_) : 0);
  }

  // The token table, [vocabulary, dim]; heads that predict words tie their output to it.
  torch::Tensor embedding() const { return embedding_->tensor; }
  const AttentionOptions& attention() const { return attention_; }
  // Under competition slot 0 is "no task", and slots 1..T are the tasks; else there is no such slot.
  std::int64_t first_slot() const { return attention_.mode == "competitive" ? 1 : 0; }
  std::int64_t slot(std::int64_t task) const { return first_slot() + task; }
  bool learned_weights() const { return task_queries_ != nullptr; }  // else they are the mode's constants
  // softmax(b_1..b_T): [tasks]. competitive only.
  torch::Tensor importance() const;

 private:
  bool bert() const { return options_.form == "bert"; }
  // Where block i drops weights of attention; after all blocks come those of the shared path.
  std::int64_t attention_site(std::int64_t block) const {
    return 1 + 2 * (options_.layers + shared_path_blocks(options_)) + block;
  }
  torch::Tensor embed(const Input& input, const Segments& segments) const;  // [tokens, dim]
  torch::Tensor importance_logits() const;                                  // b: [tasks + 1]
  torch::Tensor weights(const torch::Tensor& states, const Segments& segments) const;

  EncoderOptions options_;
  AttentionOptions attention_;
  Arena arena_;
  Parameter* embedding_;
  // y = x W^T + b for each width of vectors. W starts so that vectors whose numbers have mean 0 and variance 1 become
  // as large as tokens are: of variance 1, in bert of deviation 0.02.
  struct Projection {
    Parameter *weight = nullptr, *bias = nullptr;
  };
  std::map<std::int64_t, Projection> projections_;
  // [2, dim]: added to the rows of pairs, starts at 0; in bert the token types of all rows, there without pairs too.
  Parameter* segment_ = nullptr;
  Parameter* positions_ = nullptr;  // [positions, dim]: bert only
  LayerNorm embedding_norm_;        // bert only
  struct Block {
    SelfAttention attention;
    FeedForward feed_forward;
    // Instead of it:
    Residual experts_residual;
    MixtureOfExperts mixture;
    bool with_experts = false;
  };
  // x, or two paths side by side where a second one runs: [tokens, dim] or [tokens, 2 dim], in and out.
  torch::Tensor run_block(std::size_t i, const torch::Tensor& x, const Segments& segments, const Rotary& rotary,
                          const DropoutKeys& keys, const std::vector<TaskRows>& tasks) const;
  std::vector<Block> blocks_;
  LayerNorm norm_;  // not in bert
  std::int64_t tasks_;
  // Where the mode has them.
  Parameter *task_key_ = nullptr, *task_queries_ = nullptr, *task_importance_ = nullptr;
};

}  // namespace polyhead
