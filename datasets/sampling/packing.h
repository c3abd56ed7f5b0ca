// Packs samples into a batch. It also masks tokens for masked_lm, using the counter-based generator.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/batch.h"
#include "core/base/field.h"
#include "datasets/dataset.h"

namespace polyhead {

struct MaskingOptions {
  double share = 0.15;  // fraction of the maskable() tokens; at least one token per sequence that has any
  double mask = 0.8;    // fraction of those that become <mask>
  double random = 0.1;  // fraction of those that become a random token that is not special; the others do not change
};

// [task.NAME]
inline std::vector<Field> fields(MaskingOptions& options) {
  return {
      {.name = "mask_share",
       .member = &options.share,
       .help = "Fraction of tokens to predict.",
       .range = ">0,<=1",
       .kinds = {Kind::masked_lm},
       .stored = "share"},
      {.name = "mask_token",
       .member = &options.mask,
       .help = "Fraction of the tokens to predict that are replaced by the mask token.",
       .range = ">=0,<=1",
       .kinds = {Kind::masked_lm},
       .stored = "mask"},
      {.name = "mask_random",
       .member = &options.random,
       .help = "Fraction of the tokens to predict that are replaced by a random token.",
       .range = ">=0,<=1",
       .kinds = {Kind::masked_lm},
       .stored = "random"},
  };
}

// Appends a sample to the batch, as the last sequence of the task's slice; a new slice is opened if the last one is of
// another task. key: determines dropout and masks; derive(task_key, stream position) in training, and evaluation_key()
// in evaluations.
void append(Batch& batch, int task, const TaskInfo& info, const TokenizerInfo& tokenizer, const StoredSample& sample,
            std::uint64_t key, const MaskingOptions& masking);

// Whether masked_lm may mask this token, which must not be pad, bos, eos or mask.
inline bool maskable(const TokenizerInfo& tokenizer, std::int64_t token) {
  return token != tokenizer.pad && token != tokenizer.bos && token != tokenizer.eos && token != tokenizer.mask;
}

// Returns the key of a sample in an evaluation. It depends only on (task name, split, index), so perplexities of
// different runs can be compared.
std::uint64_t evaluation_key(const std::string& task, const std::string& split, std::uint64_t sample);

// Returns the samples for an evaluation on at most `at_most` of `size` samples, in ascending order.
// - If at_most is 0 or not below size, these are all samples.
// - Otherwise they are the beginning of a permutation that depends only on (task name, split, size). So they are the
//   same in every evaluation and run, on any number of workers, and do not depend on how the file is sorted. A larger
//   `at_most` adds samples to those of a smaller one.
std::vector<std::uint64_t> evaluation_samples(const std::string& task, const std::string& split, std::uint64_t size,
                                              std::uint64_t at_most);

}  // namespace polyhead
