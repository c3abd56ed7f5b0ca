// Compares two systems on the same tasks, samples and seeds: the difference of each task with an interval, and over all
// tasks the mean relative difference (delta m), the tasks that lost, and the worst drop.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/base/kind.h"
#include "core/kinds/task_kind.h"
#include "core/metrics/scores.h"

namespace polyhead {

// The rows of a task's headline metric for each seed (see Evaluation::rows), of both systems.
struct SeedRows {
  std::string task;
  Kind kind = Kind::classification;
  Metric metric;
  std::vector<std::vector<double>> first, second;
};

struct TaskDifference {
  std::string task, kind, metric;
  std::int64_t samples = 0;
  bool lower_is_better = false;
  double first = 0, second = 0;  // mean of the metric over seeds
  double difference = 0;         // above 0 the second system is better, also if a lower metric is better
  Interval interval;             // of the difference
  double relative = 0;           // difference / first; NaN if first is 0

  bool lost() const { return interval.high < 0; }
  bool gained() const { return interval.low > 0; }
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
