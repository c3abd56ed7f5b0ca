// Packs samples into a batch, and chooses those of evaluations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/batch.h"
#include "datasets/dataset.h"
#include "datasets/masking.h"

namespace polyhead {

// Appends a sample to the batch, as the last sequence of the task's slice; a new slice is opened if the last one is of
// another task. key: determines dropout and masks; derive(task_key, stream position) in training, and evaluation_key()
// in evaluations.
void append(Batch& batch, std::size_t task, const TaskInfo& info, const TokenizerInfo& tokenizer,
            const StoredSample& sample, std::uint64_t key, const MaskingOptions& masking);

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
