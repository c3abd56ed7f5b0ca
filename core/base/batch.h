// A packed batch: the sequences of all tasks of a worker, concatenated without padding. It uses plain host memory, so
// that the data path needs no tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/kind.h"

namespace polyhead {

// Marks a tag that is not scored: that of a continuation piece or of a special token.
inline constexpr std::int64_t kIgnore = -100;
// Takes the place of a token where the row is a vector.
inline constexpr std::int64_t kNoToken = -1;

// One task's samples in a batch: sequences [first_sequence, first_sequence + sequences). They are consecutive, and so
// are their tokens.
struct TaskSlice {
  std::size_t task = 0;  // index in the data set's list of tasks
  std::int64_t first_sequence = 0;
  std::int64_t sequences = 0;
  std::int64_t first_token = 0;  // offsets[first_sequence]
  std::vector<std::uint64_t>
      samples;  // [sequences] index of each sample in its split; evaluation uses it to find the original samples

  std::vector<float> features;     // inputs of vectors: [tokens of the slice, feature_width]; otherwise empty
  std::int64_t feature_width = 0;  // 0: the inputs are tokens

  std::vector<std::int64_t> labels;  // classification: [sequences]; multilabel: [sequences, classes], 0 or 1
  std::vector<double> values;        // regression: [sequences, outputs], in the units of the data
  std::vector<std::int64_t> tags;    // tagging: [tokens of the slice], kIgnore where not scored
  std::vector<std::int64_t>
      masked_rows;  // masked_lm: rows of the *batch* (not of the slice) whose token is to be predicted
  std::vector<std::int64_t> masked_tokens;   // masked_lm: the original tokens of these rows
  std::vector<std::int64_t> target_tokens;   // translation: the targets, "… eos", concatenated
  std::vector<std::int64_t> target_offsets;  // translation: [sequences + 1], from 0

  // span: the answers, as rows of their own sequences; each [sequences].
  std::vector<std::int64_t> context_begin;         // first row of the context, which the answer lies in
  std::vector<std::int64_t> span_begin, span_end;  // first and last row of the answer; kIgnore if it was cut off

  // Number of valid targets, by which the task's loss is divided: samples for classification, multilabel,
  // regression and span, scored tokens otherwise.
  std::int64_t count = 0;

  // Sample weights, as factors of the losses; empty: all 1. [sequences]; tagging: [tokens of the slice], masked_lm:
  // [masked rows], translation: [target tokens]. The task's loss is then divided by weighted_count, the sum of the
  // weights of all valid targets, instead of `count`.
  std::vector<double> weights;
  double weighted_count = 0;
};

struct Batch {
  std::vector<std::int64_t> tokens;   // [tokens], after masking; kNoToken where the row is a vector
  std::vector<std::int64_t> offsets;  // [sequences + 1], from 0; sequence i is tokens[offsets[i]:offsets[i+1]]
  std::vector<std::uint64_t>
      keys;  // [sequences] dropout key of each sample, derived from (seed, task, stream position)
  // For each sequence the index where its second text begins, or 0 if it has none. It may be shorter than the number of
  // sequences; the remaining ones have no second text.
  std::vector<std::int64_t> second;
  std::vector<TaskSlice> slices;  // in the order of their sequences; only tasks that have sequences here

  std::int64_t sequences() const { return std::ssize(keys); }
  // Number of encoder input tokens plus decoder target tokens.
  std::int64_t token_count() const {
    std::int64_t count = std::ssize(tokens);
    for (const TaskSlice& slice : slices) count += std::ssize(slice.target_tokens);
    return count;
  }
};

// Returns a batch of the samples of these slices, in the order of `which`.
Batch slices_of(const Batch& batch, const std::vector<std::size_t>& which);

}  // namespace polyhead
