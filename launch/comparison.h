// Compares two systems on the primary metric of each task, and shows the differences, the mean relative one (delta m),
// the tasks that lost, and the worst drop.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/base/kind.h"
#include "core/kinds/task_kind.h"
#include "core/metrics/comparison.h"

namespace polyhead {

// The rows of a task's headline metric for each seed (see Evaluation::rows), of both systems.
struct SeedRows {
  std::string task;
  Kind kind = Kind::classification;
  Metric metric;
  std::vector<std::vector<double>> first, second;
};

struct TaskDifference : Difference {
  std::string task, kind, metric;
  bool lower_is_better = false;
};

struct Comparison {
  std::string first, second;  // names of the systems
  std::vector<std::uint64_t> seeds;
  std::string split;
  int draws = 0;
  std::vector<TaskDifference> tasks;
  double delta_m = 0;         // mean of the tasks' relative differences; NaN if there are none
  Interval delta_m_interval;  // over the same draws, without those in which a task's `first` is 0
};

// Compares the headline metric of each task; for masked_lm and translation the log-perplexity. All tasks must have the
// same number of seeds.
Comparison compare_systems(std::span<const SeedRows> tasks, int draws);

// Returns a table with one row per task, followed by lines about all tasks.
std::string format_comparison(const Comparison& comparison);
nlohmann::json json_of(const Comparison& comparison);

}  // namespace polyhead
