// Shares of tasks that methods multiply by factors.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace polyhead {

// Multiplies the shares of some tasks by exp(exponent_i), and scales them so that their sum stays the same: a task that
// is away neither gains nor loses. log_share: [all tasks] logarithms. tasks, exponent: [n].
inline void multiply_shares(std::vector<double>& log_share, const std::vector<std::size_t>& tasks,
                            const std::vector<double>& exponent) {
  const auto log_sum = [&] {
    double largest = -INFINITY, total = 0;
    for (const std::size_t task : tasks) largest = std::max(largest, log_share[task]);
    for (const std::size_t task : tasks) total += std::exp(log_share[task] - largest);
    return largest + std::log(total);
  };
  if (tasks.empty()) return;
  const double before = log_sum();
  for (std::size_t i = 0; i < tasks.size(); ++i) log_share[tasks[i]] += exponent[i];
  const double change = before - log_sum();
  for (const std::size_t task : tasks) log_share[task] += change;
}

}  // namespace polyhead
