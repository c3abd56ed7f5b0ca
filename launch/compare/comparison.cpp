// The numbers of a comparison, from the results of all runs.
#include "launch/compare/comparison.h"

#include <cmath>
#include <limits>
#include <numeric>

namespace polyhead {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double mean(std::span<const double> values) {
  return values.empty() ? kNaN
                        : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

Generalization generalization(const SystemResults& results, double metric, bool lower_is_better) {
  const double train = results.train.empty() ? kNaN : mean_ratio(results.train);
  return {train, lower_is_better ? metric - train : train - metric, mean(results.steps), mean(results.samples),
          mean(results.seconds)};
}

}  // namespace

Comparison compare_systems(std::span<const TaskResults> tasks, int draws) {
  Comparison result;
  result.draws = draws;
  std::vector<PairedRows> paired;
  for (const TaskResults& task : tasks)
    paired.push_back({task.first.rows, task.second.rows, task.metric.lower_is_better});
  const Differences found = compare(paired, draws);
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    const Metric& metric = tasks[t].metric;
    TaskDifference& task = result.tasks.emplace_back();
    static_cast<Difference&>(task) = found.tasks[t];
    task.task = tasks[t].task;
    task.with = tasks[t].with;
    task.kind = name_of(tasks[t].kind);
    task.metric = metric.rows == Metric::Rows::logarithm ? "log-" + metric.name : metric.name;
    task.lower_is_better = metric.lower_is_better;
    task.of_first = generalization(tasks[t].first, task.first, metric.lower_is_better);
    task.of_second = generalization(tasks[t].second, task.second, metric.lower_is_better);
  }
  result.delta_m = found.delta_m;
  result.delta_m_interval = found.delta_m_interval;
  return result;
}

}  // namespace polyhead
