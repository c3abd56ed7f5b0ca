// Two systems on the same tasks, samples and seeds: the difference of each task with an interval, and over all tasks
// the mean relative difference (delta m), who lost, and the worst drop.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/base/kind.h"
#include "core/metrics/scores.h"

namespace polyhead {

// A task's rows of each seed, as Evaluation::rows, of either system.
struct SeedRows {
  std::string task;
  Kind kind = Kind::classification;
  std::vector<std::vector<double>> first, second;
  bool entities = false;  // tagging whose labels mark entities: the rows are those of entity F1
};

struct TaskDifference {
  std::string task, kind, metric;
  std::int64_t samples = 0;
  bool lower_is_better = false;
  double first = 0, second = 0;  // the metric, mean over seeds
  double difference = 0;         // above 0 the second is better, whichever way the metric goes
  Interval interval;             // of the difference
  double relative = 0;           // difference / first; NaN when first is 0

  bool lost() const { return interval.high < 0; }
  bool gained() const { return interval.low > 0; }
};

struct Comparison {
  std::string first, second;  // the systems' names
  std::vector<std::uint64_t> seeds;
  std::string split;
  int draws = 0;
  std::vector<TaskDifference> tasks;
  double delta_m = 0;         // the mean of the tasks' relative differences; NaN when there are none
  Interval delta_m_interval;  // over the same draws, but those in which a task's `first` is 0
};

// Takes the metric of each kind that has rows; masked_lm and translation by log-perplexity. Every task has the same
// number of seeds.
Comparison compare_systems(std::span<const SeedRows> tasks, int draws);

// For a person: a row a task, then the lines over all tasks.
std::string format_comparison(const Comparison& comparison);
nlohmann::json json_of(const Comparison& comparison);

}  // namespace polyhead
