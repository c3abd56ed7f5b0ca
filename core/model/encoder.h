// The shared encoder: a transformer over packed sequences, and the part of task attention that all tasks share (keys,
// queries, importances). Every worker holds a full copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/arena.h"
#include "core/model/block_context.h"
#include "core/model/block_extension.h"
#include "core/model/layers.h"
#include "core/model/options.h"

namespace polyhead {

class Encoder {
 public:
  // tasks: number of tasks that the model is trained with. slot(t) of queries and weights belongs to task t.
  Encoder(const EncoderOptions& options, const AttentionOptions& attention, std::int64_t vocab_size, std::int64_t tasks,
          const InputOptions& inputs = {});

  Arena& arena() { return arena_; }
  const Arena& arena() const { return arena_; }
  const EncoderOptions& options() const { return options_; }
  // Whether forward() must be given the tasks of all rows.
  bool needs_tasks() const { return extension_ != nullptr; }

  struct Output {
    torch::Tensor states;   // [tokens, dim], normalised
    torch::Tensor weights;  // [attention heads, tokens, slots]: weights of each word for all tasks
  };
  // The rows of a packed batch, at least one, on the device of the parameters. A row is a token or a vector. For rows
  // of text pairs, `second` says to which of the two texts they belong.
  struct Input {
    torch::Tensor tokens;  // [tokens] i64; ignored where the row is a vector
    struct Vectors {
      std::int64_t first = 0;  // rows [first, first + n)
      torch::Tensor values;    // [n, width]; the encoder must have been built for this width
    };
    std::vector<Vectors> vectors;     // ascending
    torch::Tensor pair_rows, second;  // [rows of pairs] i64: the row; 1 in the second text, 0 in the first. Undefined:
                                      // no pairs. Ignored by an encoder that was built without pairs.
  };
  // tasks: the tasks of all rows, in their order, with the parts of the blocks that these tasks own; ignored unless
  // needs_tasks(). Throws Error(config) for a sequence that is longer than the positions of the form bert.
  Output forward(const Input& input, const Segments& segments, const DropoutKeys& keys,
                 const std::vector<TaskRows>& tasks = {}) const;
  // Number of places where dropout happens: the sites that `keys` needs.
  std::int64_t dropout_sites() const { return block_sites() + (extension_ ? extension_->dropout_sites() : 0); }
  // Returns the tensors of a plain encoder (encoder.share = hard) with the same states, by name, without copies where
  // they are the same. parts: what the task owns of the blocks, or null. None if there is no such encoder.
  std::optional<std::map<std::string, torch::Tensor>> plain_tensors(const TaskParts* parts) const;

  // Returns the token table, [vocabulary, dim]. Heads that predict words use it as their output layer.
  torch::Tensor embedding() const { return embedding_->tensor; }
  const AttentionOptions& attention() const { return attention_; }
  // In the mode competitive, slot 0 is "no task" and slots 1..T are the tasks. The other modes have no such slot.
  std::int64_t first_slot() const { return attention_.mode == AttentionMode::competitive ? 1 : 0; }
  std::int64_t slot(std::size_t task) const { return first_slot() + static_cast<std::int64_t>(task); }
  bool learned_weights() const { return task_queries_ != nullptr; }  // false: the weights are constants of the mode
  // Returns softmax(b_1..b_T), [tasks]. Only in the mode competitive.
  torch::Tensor importance() const;

 private:
  bool bert() const { return options_.form == EncoderForm::bert; }
  EncoderSites sites() const {
    return {.blocks = options_.layers + (extension_ ? extension_->second_path_blocks() : 0)};
  }
  std::int64_t block_sites() const { return sites().count(options_.attention_dropout > 0); }
  double drop_path(std::int64_t block) const;                               // probability of stochastic depth
  torch::Tensor embed(const Input& input, const Segments& segments) const;  // [tokens, dim]
  torch::Tensor importance_logits() const;                                  // b: [tasks + 1]
  torch::Tensor weights(const torch::Tensor& states, const Segments& segments) const;

  EncoderOptions options_;
  AttentionOptions attention_;
  Arena arena_;
  Parameter* embedding_;
  // y = x W^T + b for each width of vectors. The initial W maps vectors whose elements have mean 0 and variance 1 to
  // the scale of token embeddings: variance 1, or standard deviation 0.02 in the form bert.
  struct Projection {
    Parameter *weight = nullptr, *bias = nullptr;
  };
  std::map<std::int64_t, Projection> projections_;
  // [2, dim]: added to the rows of pairs, initially 0. In the form bert: [token_types, dim], the token types of all
  // rows, which exist without pairs too.
  Parameter* segment_ = nullptr;
  Parameter* positions_ = nullptr;  // [positions, dim]; only in the form bert
  LayerNorm embedding_norm_;        // only in the form bert
  struct Block {
    SelfAttention attention;
    std::optional<FeedForward> feed_forward;  // without a value where the extension replaces it
  };
  // Runs block context.block. states: [tokens, dim], or [tokens, 2 dim] with the second part of BlockState.
  torch::Tensor run_block(const torch::Tensor& states, const BlockContext& context) const;
  std::vector<Block> blocks_;
  std::unique_ptr<BlockExtension> extension_;  // null: all tasks share the blocks as they are
  LayerNorm norm_;                             // not in the form bert
  std::int64_t tasks_;
  // Null if the mode does not have them.
  Parameter *task_key_ = nullptr, *task_queries_ = nullptr, *task_importance_ = nullptr;
};

}  // namespace polyhead
