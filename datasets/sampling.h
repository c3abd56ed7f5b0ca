// Which samples a step takes: a pure function of (seed, task, step), whatever the number of workers. Position k of a
// task's endless stream is sample permute(seed, task, k div n, n, k mod n).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "datasets/manifest.h"

namespace polyhead {

struct MixtureOptions {
  std::string kind = "temperature";     // proportional | uniform | temperature | explicit
  double temperature = 2;               // rate ~ samples^(1/temperature)
  std::int64_t batch = 64;              // samples a step over all tasks and workers
  std::map<std::string, double> rates;  // explicit: relative rate of each task, > 0
};

struct TaskQuota {
  double requested = 0;      // share of the batch before rounding
  std::int64_t samples = 0;  // a step
};

// Samples of each task's train split; 0 without one.
std::vector<std::uint64_t> train_samples(const Manifest& manifest, const std::vector<std::string>& tasks);

// Quotas by largest remainder, at least 1 a task; the sum is mixture.batch. Throws Error(config) when the batch is
// smaller than the number of tasks, a rate is missing, or the kind is unknown, and Error(data) naming a task without
// samples.
std::vector<TaskQuota> quotas(const MixtureOptions& options, const std::vector<std::string>& tasks,
                              const std::vector<std::uint64_t>& samples);

// A key of a task's streams: of (seed, name).
std::uint64_t task_key(std::uint64_t seed, const std::string& task);

// A bijection of 0..n-1 for each (key, epoch): Fisher-Yates with a counter-based generator to n = 4096 (cached per
// thread), above it an 8-round balanced Feistel network on at least 16 bits with cycle walking.
std::uint64_t permute(std::uint64_t key, std::uint64_t epoch, std::uint64_t n, std::uint64_t i);

// The sample at a stream position.
inline std::uint64_t sample_at(std::uint64_t key, std::uint64_t position, std::uint64_t n) {
  return permute(key, position / n, n, position % n);
}

// From `step` on (steps count from 1) a task takes `quota` samples a step, the first at stream position `first`. The
// only sampling state.
struct MixtureEntry {
  std::int64_t step = 1;
  std::vector<std::int64_t> quota;   // [tasks]
  std::vector<std::uint64_t> first;  // [tasks]
};

// The stream positions of a task at a step: [first, first + quota).
struct PositionRange {
  std::uint64_t first = 0;
  std::int64_t count = 0;
};
PositionRange positions(const std::vector<MixtureEntry>& entries, std::size_t task, std::int64_t step);

}  // namespace polyhead
