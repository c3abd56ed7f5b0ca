// Names and tables of a comparison.
#include "launch/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/base/text.h"
#include "launch/table.h"

namespace polyhead {
namespace {

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
  std::vector<PairedRows> paired;
  for (const SeedRows& rows : tasks) paired.push_back({rows.first, rows.second, rows.metric.lower_is_better});
  const Differences found = compare(paired, draws);
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    const Metric& metric = tasks[t].metric;
    result.tasks.push_back({found.tasks[t], tasks[t].task, std::string(name_of(tasks[t].kind)),
                            metric.rows == Metric::Rows::logarithm ? "log-" + metric.name : metric.name,
                            metric.lower_is_better});
  }
  result.delta_m = found.delta_m;
  result.delta_m_interval = found.delta_m_interval;
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
    lost += task.lost();
    gained += task.gained();
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
