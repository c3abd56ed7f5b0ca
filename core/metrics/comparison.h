// Compares two systems on the same tasks, samples and seeds with the paired bootstrap: the difference of each task with
// an interval, and the mean relative difference over all tasks (delta m).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/metrics/scores.h"

namespace polyhead {

// The rows of a task, [seeds][samples, 2] (numerator and denominator), of both systems.
struct PairedRows {
  std::span<const std::vector<double>> first, second;
  bool lower_is_better = false;
};

struct Difference {
  std::size_t samples = 0;
  double first = 0, second = 0;  // mean of the metric over seeds
  double difference = 0;         // above 0 the second system is better, also if a lower metric is better
  Interval interval;             // of the difference
  double relative = 0;           // difference / first; NaN if first is 0

  bool lost() const { return interval.high < 0; }
  bool gained() const { return interval.low > 0; }
};

struct Differences {
  std::vector<Difference> tasks;
  double delta_m = 0;         // mean of the tasks' relative differences; NaN if there are none
  Interval delta_m_interval;  // over the same draws, without those in which a task's `first` is 0
};

// Returns the mean over seeds of a system's metric: the sum of the numerators over that of the denominators. rows:
// [seeds][samples, 2].
double mean_ratio(std::span<const std::vector<double>> rows);

// All tasks must have the same number of seeds. Throws as paired_bootstrap().
Differences compare(std::span<const PairedRows> tasks, int draws);

}  // namespace polyhead
