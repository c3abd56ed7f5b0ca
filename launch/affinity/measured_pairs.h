// Gains of pairs of tasks that were measured by training, and how well affinities rank them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/metrics/affinity.h"
#include "core/metrics/scores.h"

namespace polyhead {

// What a task gains by training together with another one instead of alone. Above 0 it is better together.
struct MeasuredPair {
  std::string task, with;
  double difference = kNotKnown;               // of the task's metric
  Interval interval = {kNotKnown, kNotKnown};  // of the difference
  double relative = kNotKnown;                 // difference / metric alone
};

// Reads what `polyhead compare --pairs --json` prints (docs/reference/files.md); the pairs are in alphabetical order.
// Throws Error(data) if the file is not JSON of this form.
std::vector<MeasuredPair> read_measured_pairs(const std::filesystem::path& file);

// The rank correlation between the affinity of `with` for `task` and the gain of `task`, over ordered pairs.
struct Agreement {
  std::size_t pairs = 0;     // ordered
  std::size_t clusters = 0;  // pairs without their order, which the bootstrap draws
  std::size_t left_out = 0;  // measured pairs without an affinity or a gain
  bool relative = false;     // gains are relative differences; otherwise differences, as some pair has no relative one
  double spearman = kNotKnown;                 // NaN where it is not defined
  Interval interval = {kNotKnown, kNotKnown};  // 95 %
  int draws = 0;
};

inline constexpr std::size_t kLeastPairs = 3;

// tasks: the names of the affinity's tasks. Throws Error(data), which names `file`, if fewer than kLeastPairs pairs
// have both an affinity and a gain.
Agreement agreement_of(const Affinity& affinity, const std::vector<std::string>& tasks,
                       const std::vector<MeasuredPair>& measured, int draws, const std::filesystem::path& file);

}  // namespace polyhead
