// The paired bootstrap of every task, and its tables.
#include "launch/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <tuple>

#include "launch/table.h"

namespace polyhead {
namespace {

constexpr std::uint64_t kDrawSeed = 1;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double mean_ratio(const std::vector<std::vector<double>>& of_seeds) {
  double mean = 0;
  for (const auto& rows : of_seeds) {
    double numerator = 0, denominator = 0;
    for (std::size_t i = 0; i < rows.size(); i += 2) numerator += rows[i], denominator += rows[i + 1];
    mean += numerator / denominator / static_cast<double>(of_seeds.size());
  }
  return mean;
}

double relative_to(double first, double difference) {
  return first == 0 ? kNaN : difference / first;
}

// Returns the task with the smallest relative difference; null if no task has one.
const TaskDifference* worst_of(const Comparison& comparison) {
  const TaskDifference* worst = nullptr;
  for (const TaskDifference& task : comparison.tasks)
    if (!std::isnan(task.relative) && (worst == nullptr || task.relative < worst->relative)) worst = &task;
  return worst;
}

std::string percent(double share) {
  return std::isnan(share) ? "" : fmt::format("{:+.2f} %", 100 * share);
}

}  // namespace

Comparison compare_systems(std::span<const SeedRows> tasks, int draws) {
  Comparison result;
  result.draws = draws;
  std::vector<double> sums(static_cast<std::size_t>(draws), 0);  // sums of the relative differences in each draw
  double with_relative = 0;
  for (const SeedRows& rows : tasks) {
    const Metric& metric = rows.metric;
    const double sign = metric.lower_is_better ? -1 : 1;
    TaskDifference task{.task = rows.task,
                        .kind = std::string(name_of(rows.kind)),
                        .metric = metric.rows == Metric::Rows::logarithm ? "log-" + metric.name : metric.name,
                        .samples = static_cast<std::int64_t>(rows.first.at(0).size() / 2),
                        .lower_is_better = metric.lower_is_better,
                        .first = mean_ratio(rows.first),
                        .second = mean_ratio(rows.second),
                        .interval = {}};
    task.difference = sign * (task.second - task.first);
    task.relative = relative_to(task.first, task.difference);
    std::vector<double> differences;
    const auto drawn = paired_bootstrap(rows.first, rows.second, draws, kDrawSeed);
    for (std::size_t d = 0; d < drawn.size(); ++d) {
      differences.push_back(sign * (drawn[d].second - drawn[d].first));
      if (!std::isnan(task.relative)) sums[d] += relative_to(drawn[d].first, differences.back());
    }
    task.interval = interval_of(std::move(differences));
    if (!std::isnan(task.relative)) {
      result.delta_m += task.relative;
      ++with_relative;
    }
    result.tasks.push_back(std::move(task));
  }
  result.delta_m = with_relative > 0 ? result.delta_m / with_relative : kNaN;
  for (double& sum : sums) sum /= with_relative;
  result.delta_m_interval = with_relative > 0 ? interval_of(std::move(sums)) : Interval{kNaN, kNaN};
  return result;
}

std::string format_comparison(const Comparison& comparison) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> lower, gone;  // metrics where lower is better; tasks without a relative difference
  std::size_t lost = 0, gained = 0;
  for (const TaskDifference& task : comparison.tasks) {
    rows.push_back({printable(task.task), task.kind, with_commas(task.samples), task.metric,
                    fmt::format("{:.4f}", task.first), fmt::format("{:.4f}", task.second),
                    fmt::format("{:+.4f}", task.difference),
                    fmt::format("{:+.4f} to {:+.4f}", task.interval.low, task.interval.high), percent(task.relative),
                    task.lost()     ? "lost"
                    : task.gained() ? "gained"
                                    : "not apart"});
    lost += task.lost(), gained += task.gained();
    if (task.lower_is_better && std::ranges::count(lower, task.metric) == 0) lower.push_back(task.metric);
    if (std::isnan(task.relative)) gone.push_back(printable(task.task));
  }
  const auto& [first, second] = std::tie(comparison.first, comparison.second);
  std::string out = format_table(
      {"task", "kind", "samples", "metric", first, second, "difference", "95 % interval", "relative", "verdict"}, rows,
      "llrlrrrlrl");
  out += fmt::format("\ndifference: above 0 {} is better", second);
  if (!lower.empty())
    out += fmt::format(" (for {}, where lower is better, {} - {})", fmt::join(lower, " and "), first, second);
  const Interval& all = comparison.delta_m_interval;
  if (!std::isnan(comparison.delta_m))
    out += fmt::format("\nΔm, the mean relative difference: {}, 95 % interval {} to {}", percent(comparison.delta_m),
                       percent(all.low), percent(all.high));
  if (!gone.empty())
    out += fmt::format("\nwithout a relative difference, as {} has 0: {}", first, fmt::join(gone, ", "));
  out += fmt::format("\nlost (negative transfer): {} of {} tasks ({:.0f} %); gained: {}", lost, rows.size(),
                     100 * static_cast<double>(lost) / static_cast<double>(rows.size()), gained);
  const TaskDifference* worst = worst_of(comparison);
  out += worst == nullptr || worst->relative >= 0
             ? "\nworst drop: none\n"
             : fmt::format("\nworst drop: {} ({})\n", percent(worst->relative), printable(worst->task));
  return out;
}

nlohmann::json json_of(const Comparison& comparison) {
  nlohmann::json tasks = nlohmann::json::object(), lost = nlohmann::json::array(), gained = lost;
  for (const TaskDifference& task : comparison.tasks) {
    tasks[task.task] = {{"kind", task.kind},
                        {"samples", task.samples},
                        {"metric", task.metric},
                        {"lower_is_better", task.lower_is_better},
                        {"first", task.first},
                        {"second", task.second},
                        {"difference", task.difference},
                        {"difference_low", task.interval.low},
                        {"difference_high", task.interval.high},
                        {"relative", task.relative}};
    if (task.lost()) lost.push_back(task.task);
    if (task.gained()) gained.push_back(task.task);
  }
  nlohmann::json out = {{"first", comparison.first},
                        {"second", comparison.second},
                        {"seeds", comparison.seeds},
                        {"split", comparison.split},
                        {"draws", comparison.draws},
                        {"tasks", tasks},
                        {"delta_m", comparison.delta_m},
                        {"delta_m_low", comparison.delta_m_interval.low},
                        {"delta_m_high", comparison.delta_m_interval.high},
                        {"lost", lost},
                        {"gained", gained},
                        {"lost_share", static_cast<double>(lost.size()) / static_cast<double>(tasks.size())},
                        {"worst", nullptr}};
  if (const TaskDifference* worst = worst_of(comparison))
    out["worst"] = {{"task", worst->task}, {"relative", worst->relative}};
  return out;
}

}  // namespace polyhead
