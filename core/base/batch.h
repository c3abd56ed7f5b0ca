// A packed batch: the sequences of all tasks of a worker, one after another, without padding. Plain host memory, so
// that the data path needs no tensors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/kind.h"

namespace polyhead {

// Not scored: a tag of a continuation piece, or of a special token.
inline constexpr std::int64_t kIgnore = -100;
// In the place of a token where the row is a vector.
inline constexpr std::int64_t kNoToken = -1;

// One task's samples in a batch: sequences [first_sequence, first_sequence + sequences), which are consecutive, and so
// are their tokens.
struct TaskSlice {
  int task = 0;  // index in the data set's list of tasks
  std::int64_t first_sequence = 0;
  std::int64_t sequences = 0;
  std::int64_t first_token = 0;        // offsets[first_sequence]
  std::vector<std::uint64_t> samples;  // [sequences] index of each sample in its split, for who looks behind a batch

  std::vector<float> features;     // sequences of vectors: [tokens of the slice, feature_width], else empty
  std::int64_t feature_width = 0;  // 0: sequences of tokens

  std::vector<std::int64_t> labels;  // classification: [sequences]; multilabel: [sequences, classes], 0 or 1
  std::vector<double> values;        // regression: [sequences, outputs], in their own unit
  std::vector<std::int64_t> tags;    // tagging: [tokens of the slice], kIgnore where not scored
  std::vector<std::int64_t>
      masked_rows;  // masked_lm: rows of the *batch* (not of the slice) whose token is to be predicted
  std::vector<std::int64_t> masked_tokens;   // masked_lm: the tokens that stood there
  std::vector<std::int64_t> target_tokens;   // translation: the targets "… eos" one after another
  std::vector<std::int64_t> target_offsets;  // translation: [sequences + 1], from 0

  // Valid targets: what the task's loss is divided by (samples for classification, multilabel and regression, else
  // scored tokens).
  std::int64_t count = 0;
};

struct Batch {
  std::vector<std::int64_t> tokens;   // [tokens], after masking; kNoToken where the row is a vector
  std::vector<std::int64_t> offsets;  // [sequences + 1], from 0; sequence i is tokens[offsets[i]:offsets[i+1]]
  std::vector<std::uint64_t> keys;    // [sequences] key of the sample for dropout: of (seed, task, stream position)
  // Where in a sequence its second text begins, 0: it has none; sequences beyond the vector's end have none.
  std::vector<std::int64_t> second;
  std::vector<TaskSlice> slices;  // in the order of their sequences; only tasks with sequences here

  std::int64_t sequences() const { return static_cast<std::int64_t>(keys.size()); }
  // Encoder input tokens plus decoder target tokens.
  std::int64_t token_count() const {
    auto count = static_cast<std::int64_t>(tokens.size());
    for (const TaskSlice& slice : slices) count += static_cast<std::int64_t>(slice.target_tokens.size());
    return count;
  }
};

// The samples of some of a batch's slices as a batch of their own, whose slices come in the order of `which`.
Batch slices_of(const Batch& batch, const std::vector<std::size_t>& which);

}  // namespace polyhead
