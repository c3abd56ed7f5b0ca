// The interval of a mean over steps of training, which depend on each other, by the method of batch means.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "core/metrics/scores.h"

namespace polyhead {

inline constexpr double kNotKnown = std::numeric_limits<double>::quiet_NaN();

// The values of some of the steps of a block of consecutive steps.
struct BlockSum {
  double sum = 0;
  std::int64_t count = 0;  // steps that have a value

  void add(double value) { sum += value, ++count; }
  void add(const BlockSum& other) { sum += other.sum, count += other.count; }
};

struct Estimate {
  double mean = kNotKnown;                     // NaN if no step has a value
  Interval interval = {kNotKnown, kNotKnown};  // 95 %; NaN with values in fewer than two blocks
  std::int64_t steps = 0;                      // that have a value
};

// Returns the mean over all steps that have a value, m = sum of sums / sum of counts, and its 95 % interval
// m ± t sqrt(B / (B - 1) sum over blocks of (sum_b - count_b m)^2) / (sum of counts), where B is the number of blocks
// with values and t the quantile of Student's distribution with B - 1 degrees of freedom (Law, Simulation Modeling and
// Analysis, on batch means and on ratio estimators). Blocks should be longer than the time over which values depend on
// each other.
Estimate mean_over_blocks(std::span<const BlockSum> blocks);

// Returns the 97.5 % quantile of Student's distribution, to 1e-12, for `degrees` >= 1.
double student_quantile(std::int64_t degrees);

}  // namespace polyhead
