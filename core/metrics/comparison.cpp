// The paired bootstrap of every task, with the same drawn seeds for all.
#include "core/metrics/comparison.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

namespace polyhead {
namespace {

constexpr std::uint64_t kDrawSeed = 1;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double relative_to(double first, double difference) {
  return first == 0 ? kNaN : difference / first;
}

}  // namespace

double mean_ratio(std::span<const std::vector<double>> rows) {
  double mean = 0;
  for (const auto& of_seed : rows) {
    double numerator = 0, denominator = 0;
    for (std::size_t i = 0; i < of_seed.size(); i += 2) {
      numerator += of_seed[i];
      denominator += of_seed[i + 1];
    }
    mean += numerator / denominator / static_cast<double>(rows.size());
  }
  return mean;
}

Differences compare(std::span<const PairedRows> tasks, int draws) {
  Differences result;
  std::vector<double> sums(static_cast<std::size_t>(draws), 0);  // sums of the relative differences in each draw
  double with_relative = 0;
  for (const PairedRows& rows : tasks) {
    const double sign = rows.lower_is_better ? -1 : 1;
    const auto drawn = paired_bootstrap(rows.first, rows.second, draws, kDrawSeed);
    Difference task{.samples = rows.first[0].size() / 2,
                    .first = mean_ratio(rows.first),
                    .second = mean_ratio(rows.second),
                    .interval = {}};
    task.difference = sign * (task.second - task.first);
    task.relative = relative_to(task.first, task.difference);
    std::vector<double> differences;
    for (std::size_t d = 0; d < drawn.size(); ++d) {
      differences.push_back(sign * (drawn[d].second - drawn[d].first));
      if (!std::isnan(task.relative)) sums[d] += relative_to(drawn[d].first, differences.back());
    }
    task.interval = interval_of(std::move(differences));
    if (!std::isnan(task.relative)) {
      result.delta_m += task.relative;
      ++with_relative;
    }
    result.tasks.push_back(task);
  }
  result.delta_m = with_relative > 0 ? result.delta_m / with_relative : kNaN;
  for (double& sum : sums) sum /= with_relative;
  result.delta_m_interval = with_relative > 0 ? interval_of(std::move(sums)) : Interval{kNaN, kNaN};
  return result;
}

}  // namespace polyhead
