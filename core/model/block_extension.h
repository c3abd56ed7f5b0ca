// How tasks share the encoder's blocks beyond one trunk (encoder.share). A method is one file of this folder, which
// holds its formula, its parameters, its forward pass and its costs, and one line in registry.cpp.
//
// In the formulas, x are the states of a text's words, n = LN(x), and t is the text's task. Parts with the index t
// belong to the task and live in its head's arena; all others belong to the encoder. Biases are omitted.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/model/arena.h"
#include "core/model/block_context.h"
#include "core/model/layers.h"
#include "core/model/options.h"
#include "core/model/torch.h"

namespace polyhead {

// What a task owns of the blocks. Each method derives its own type.
class TaskParts {
 public:
  virtual ~TaskParts() = default;
};

// One Layer for each block.
template <typename Layer>
struct TaskLayers : TaskParts {
  std::vector<Layer> layers;
};

template <typename Layer>
const Layer& layer_of(const TaskRows& task, const BlockContext& context) {
  return static_cast<const TaskLayers<Layer>&>(*task.parts).layers[static_cast<std::size_t>(context.block)];
}

// Returns the numbers of rows of the tasks, to split states by task.
std::vector<std::int64_t> row_counts(const std::vector<TaskRows>& tasks);

// The states that a block receives and passes on.
struct BlockState {
  torch::Tensor x;       // [tokens, dim]
  torch::Tensor second;  // [tokens, dim]: what a method carries along besides x; may be undefined
};

// Costs per word in addition to those of the plain encoder, to estimate a task's cost.
struct SharingCost {
  double multiplications = 0;  // in the forward pass
  double kept = 0;             // number of elements that autograd keeps for backward
};

class BlockExtension {
 public:
  virtual ~BlockExtension() = default;

  // Adds the parameters of the method that belong to a block and to the encoder, and returns whether they replace the
  // feed-forward branch. Called once per block, in ascending order. form: that of the encoder's blocks; tasks: number
  // of tasks.
  virtual bool add_shared_parts(Arena& encoder, std::int64_t block, std::int64_t tasks, const BlockForm& form);
  // Adds the parameters that a task owns, named "encoder.layers.I.…", to the arena of its head. May return null.
  virtual std::unique_ptr<TaskParts> add_task_parts(Arena& head) const = 0;

  // Runs in place of the feed-forward branch that it replaces. attention: the block's, which state.x has passed.
  virtual void feed_forward(BlockState& state, const SelfAttention& attention, const BlockContext& context) const;
  // Returns the value of a linear layer of a block, given its input and its plain value.
  virtual torch::Tensor linear(BlockLinear layer, const torch::Tensor& input, const torch::Tensor& value,
                               const BlockContext& context) const;
  // Runs at the end of every block.
  virtual void after_block(BlockState& state, const BlockContext& context) const;
  // Returns what heads read of the states that the last block has passed on: [tokens, dim], or [tokens, 2 dim] with a
  // second part.
  virtual torch::Tensor result(const torch::Tensor& states) const { return states; }

  // Returns the number of blocks in which the second states pass through branches with dropout of their own.
  virtual std::int64_t second_path_blocks() const { return 0; }
  // Returns the number of sites of dropout in addition to those of the blocks, see BlockContext::extension_site.
  virtual std::int64_t dropout_sites() const { return 0; }
  virtual SharingCost cost() const = 0;
  // Turns the tensors of the encoder, by name, into those of a plain encoder with the same states, for a task with
  // these parts. Returns false if there is none.
  virtual bool merge(std::map<std::string, torch::Tensor>& tensors, const TaskParts* parts) const;
};

// Each is declared once here and defined in the method's file.
std::unique_ptr<BlockExtension> make_adapters(const EncoderOptions& options);
std::unique_ptr<BlockExtension> make_mtan(const EncoderOptions& options);
std::unique_ptr<BlockExtension> make_mmoe(const EncoderOptions& options);
std::unique_ptr<BlockExtension> make_ple(const EncoderOptions& options);
std::unique_ptr<BlockExtension> make_lora(const EncoderOptions& options);  // lora and task_lora

// Returns the extension that options.share names; null for hard. Throws Error(config) for options out of range.
std::unique_ptr<BlockExtension> make_extension(const EncoderOptions& options);
// Returns the costs of options.share; 0 for hard.
SharingCost sharing_cost(const EncoderOptions& options);

}  // namespace polyhead
