// Decides which samples a step takes, and which worker of a task's group takes each of them: pure functions of (seed,
// task, position) and of the lengths of the samples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datasets/sampling/permutation.h"

namespace polyhead {

// Returns the key of a task's stream, derived from (seed, name).
std::uint64_t task_key(std::uint64_t seed, const std::string& task);

// The endless stream of a task: position k is sample permutation(epoch k div n)(k mod n). It caches the permutation of
// the last epoch read.
class SampleStream {
 public:
  // key: see task_key(); samples: n >= 1.
  SampleStream(std::uint64_t key, std::uint64_t samples) : key_(key), samples_(samples) {}

  // Returns the samples at positions [first, first + out.size()) in `out`.
  void read(std::uint64_t first, std::span<std::uint64_t> out);

 private:
  std::uint64_t key_, samples_, epoch_ = 0;
  std::optional<Permutation> permutation_;  // of epoch_
};

// Assigns each sample to one of `parts` >= 1 workers, so that they get about equally many tokens: longest sample first,
// each to the worker with the fewest tokens so far (ties: fewest samples, then lowest index). Returns [samples], each
// below `parts`.
std::vector<std::size_t> split_by_length(std::span<const std::uint64_t> lengths, std::size_t parts);

}  // namespace polyhead
