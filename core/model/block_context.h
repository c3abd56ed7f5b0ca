// What passes through the levels of a transformer block: the sequences, their dropout, and whose rows they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/model/dropout.h"
#include "core/model/rotary.h"
#include "core/model/segments.h"

namespace polyhead {

class BlockExtension;
class TaskParts;

// The rows of one task in a packed batch; those of the next task follow.
struct TaskRows {
  std::size_t task = 0;  // index as in Encoder::slot()
  std::int64_t rows = 0;
  const TaskParts* parts = nullptr;  // what the task owns of the blocks; null if it owns nothing
};

// The sites of dropout (see DropoutKeys) that one branch of a block uses.
struct BranchSites {
  std::int64_t branch = 0;   // of the values that are added to the residual stream
  std::int64_t weights = 0;  // of attention weights
  std::int64_t path = 0;     // of stochastic depth
};

// Numbers the sites of an encoder. Site 0 belongs to the embedding; then come two sites for each block, and then one
// for the attention weights of each block.
struct EncoderSites {
  std::int64_t blocks = 0;  // of the encoder, and of the second path of a BlockExtension, which are counted after them
  BranchSites attention(std::int64_t block) const {
    return {.branch = 1 + 2 * block, .weights = 1 + 2 * blocks + block, .path = 1 + 2 * block};
  }
  BranchSites feed_forward(std::int64_t block) const {
    return {.branch = 2 + 2 * block, .weights = 0, .path = 2 + 2 * block};
  }
  std::int64_t count(bool attention_weights) const { return 1 + (attention_weights ? 3 : 2) * blocks; }
};

// A value, because activation checkpointing runs a block again in backward.
struct BlockContext {
  Segments segments;
  Rotary rotary;        // without angles: attention does not rotate
  bool causal = false;  // whether a row attends only to itself and the rows before it
  DropoutKeys keys;
  double dropout = 0, attention_dropout = 0;
  double drop_path = 0;  // probability of stochastic depth in this block
  // Only in the encoder:
  std::int64_t block = 0;
  EncoderSites sites;
  std::int64_t extension_site = 0;  // the first of the sites that belong to the extension
  std::vector<TaskRows> tasks;      // of all rows if there is an extension
  const BlockExtension* extension = nullptr;
};

}  // namespace polyhead
