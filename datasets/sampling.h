// Which samples a step takes, and which worker of a task's group each of them: pure functions of (seed, task, position)
// and of the samples' lengths.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datasets/permutation.h"

namespace polyhead {

// A key of a task's streams: of (seed, name).
std::uint64_t task_key(std::uint64_t seed, const std::string& task);

// A task's endless stream: position k is sample permutation(epoch k div n)(k mod n). Keeps the permutation of the epoch
// that it read last, which the next positions are mostly of.
class SampleStream {
 public:
  // key: task_key; samples: n >= 1.
  SampleStream(std::uint64_t key, std::uint64_t samples) : key_(key), samples_(samples) {}

  // The samples at positions [first, first + out.size()).
  void read(std::uint64_t first, std::span<std::uint64_t> out);

 private:
  std::uint64_t key_, samples_, epoch_ = 0;
  std::optional<Permutation> permutation_;  // of epoch_
};

// Which of `parts` workers takes each sample, so that their tokens are about equal: longest first, each to the worker
// with the fewest tokens so far (ties: fewest samples, then the first). parts >= 1. -> [samples], below parts
std::vector<int> split_by_length(std::span<const std::uint64_t> lengths, int parts);

}  // namespace polyhead
