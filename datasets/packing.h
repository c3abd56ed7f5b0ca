// From samples to a packed batch; masks of masked_lm are drawn here, from the counter-based generator.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/batch.h"
#include "datasets/dataset.h"

namespace polyhead {

struct MaskingOptions {
  double share = 0.15;  // of the tokens that are not special; at least one token a sequence that has any
  double mask = 0.8;    // of those: become <mask>
  double random = 0.1;  // become a random token that is not special; the rest stay
};

// Adds a sample to the batch: as the newest sequence of the task's slice (opened when the last slice is
// another task's). `key` keys dropout and masks: training gives derive(task_key, stream position), evaluation a key of
// the sample's index alone.
void append(Batch& batch, int task, const TaskInfo& info, const TokenizerInfo& tokenizer, const StoredSample& sample,
            std::uint64_t key, const MaskingOptions& masking);

// Whether masked_lm may mask this token: it is not pad, bos, eos or mask.
inline bool maskable(const TokenizerInfo& tokenizer, std::int64_t token) {
  return token != tokenizer.pad && token != tokenizer.bos && token != tokenizer.eos && token != tokenizer.mask;
}

// The key of a sample of valid or test: of (task name, split, index) alone, so that perplexities of different runs
// compare.
std::uint64_t evaluation_key(const std::string& task, const std::string& split, std::uint64_t sample);

// The samples that an evaluation on at most `at_most` of `size` samples takes, in ascending order: all of them where
// at_most is 0 or not below size, else the beginning of a permutation that depends on (task name, split, size) alone.
// Every evaluation takes the same ones, on any number of workers and in every run, however the file is sorted; a larger
// `at_most` adds samples to those of a smaller one.
std::vector<std::uint64_t> evaluation_samples(const std::string& task, const std::string& split, std::uint64_t size,
                                              std::uint64_t at_most);

}  // namespace polyhead
