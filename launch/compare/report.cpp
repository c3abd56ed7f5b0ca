// Tables and JSON of a comparison.
#include "launch/compare/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/choice.h"
#include "core/base/text.h"
#include "launch/table.h"

namespace polyhead {
namespace {

using Cells = std::vector<std::string>;

constexpr std::size_t kMatrixColumns = 5;  // in a block, so that a line has at most 100 characters for usual names

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

std::string decimals(double value) {
  return std::isnan(value) ? "" : fmt::format("{:.4f}", value);
}

std::string signed_decimals(double value) {
  return std::isnan(value) ? "" : fmt::format("{:+.4f}", value);
}

std::string whole(double value) {
  return std::isnan(value) ? "" : with_commas(std::llround(value));
}

// Appends both metrics, the difference, its interval, the relative difference and the verdict.
void append_difference(Cells& row, const TaskDifference& task) {
  row.insert(row.end(),
             {decimals(task.first), decimals(task.second), signed_decimals(task.difference),
              fmt::format("{:+.4f} to {:+.4f}", task.interval.low, task.interval.high), percent(task.relative),
              task.lost()     ? "lost"
              : task.gained() ? "gained"
                              : "not apart"});
}

Cells generalization_row(const std::string& task, const std::string& system, double metric, const Generalization& of) {
  return {task,
          system,
          decimals(of.train),
          decimals(metric),
          signed_decimals(of.gap),
          whole(of.steps),
          whole(of.samples),
          std::isnan(of.seconds) ? "" : fmt::format("{:.1f}", of.seconds)};
}

std::string format_generalization(const Comparison& comparison, const std::string& second_column,
                                  const std::vector<Cells>& rows) {
  const std::string table = format_table(
      {"task", second_column, "train", comparison.split, "gap", "steps", "samples", "seconds"}, rows, "llrrrrrr");
  return fmt::format(
      "\n{}\ngap: how much better the metric is on samples of train than on {}\n"
      "steps, samples (of the task) and seconds of training: to the {} step, means over seeds\n",
      table, comparison.split, comparison.until == Until::best ? "best" : "last");
}

// Returns "above 0 joint is better (for …, where lower is better, single - joint)".
std::string meaning_of_differences(const Comparison& comparison) {
  Cells lower;
  for (const TaskDifference& task : comparison.tasks)
    if (task.lower_is_better && std::ranges::count(lower, task.metric) == 0) lower.push_back(task.metric);
  std::string text = fmt::format("above 0 {} is better", comparison.second);
  if (!lower.empty())
    text += fmt::format(" (for {}, where lower is better, {} - {})", fmt::join(lower, " and "), comparison.first,
                        comparison.second);
  return text;
}

std::string summary_of(const Comparison& comparison) {
  Cells gone;  // tasks without a relative difference
  for (const TaskDifference& task : comparison.tasks)
    if (std::isnan(task.relative)) gone.push_back(printable(task.task));
  const auto count = [&](bool (Difference::*holds)() const) {
    return std::ranges::count_if(comparison.tasks, [&](const TaskDifference& task) { return (task.*holds)(); });
  };
  const auto lost = count(&Difference::lost), gained = count(&Difference::gained);
  std::string out = fmt::format("\ndifference: {}", meaning_of_differences(comparison));
  const Interval& all = comparison.delta_m_interval;
  if (!std::isnan(comparison.delta_m))
    out += fmt::format("\nΔm, the mean relative difference: {}, 95 % interval {} to {}", percent(comparison.delta_m),
                       percent(all.low), percent(all.high));
  if (!gone.empty())
    out += fmt::format("\nwithout a relative difference, as {} has 0: {}", comparison.first, fmt::join(gone, ", "));
  out += fmt::format("\nlost (negative transfer): {} of {} tasks ({:.0f} %); gained: {}", lost, comparison.tasks.size(),
                     100 * static_cast<double>(lost) / static_cast<double>(comparison.tasks.size()), gained);
  const TaskDifference* worst = worst_of(comparison);
  out += worst == nullptr || worst->relative >= 0
             ? "\nworst drop: none\n"
             : fmt::format("\nworst drop: {} ({})\n", percent(worst->relative), printable(worst->task));
  return out;
}

nlohmann::json json_of(const TaskDifference& task) {
  nlohmann::json json = {{"kind", task.kind},
                         {"samples", task.samples},
                         {"metric", task.metric},
                         {"lower_is_better", task.lower_is_better},
                         {"first", task.first},
                         {"second", task.second},
                         {"difference", task.difference},
                         {"difference_low", task.interval.low},
                         {"difference_high", task.interval.high},
                         {"relative", task.relative}};
  const auto add = [&](const std::string& system, const Generalization& of) {
    json[system + "_train"] = of.train;
    json[system + "_gap"] = of.gap;
    json[system + "_steps"] = of.steps;
    json[system + "_samples"] = of.samples;
    json[system + "_seconds"] = of.seconds;
  };
  add("first", task.of_first);
  add("second", task.of_second);
  return json;
}

nlohmann::json json_of_systems(const Comparison& comparison) {
  return {{"first", comparison.first}, {"second", comparison.second},        {"seeds", comparison.seeds},
          {"split", comparison.split}, {"until", name_of(comparison.until)}, {"draws", comparison.draws}};
}

Cells tasks_of(const Comparison& comparison) {
  Cells names;
  for (const TaskDifference& task : comparison.tasks)
    if (names.empty() || names.back() != task.task) names.push_back(task.task);
  return names;
}

// Returns a block of the matrix: its columns from `begin` on. Differences whose interval does not contain 0 have a
// star.
std::string matrix_block(const Comparison& comparison, const Cells& names, std::size_t begin) {
  const std::size_t end = std::min(begin + kMatrixColumns, names.size());
  Cells header = {"", "task", "metric", "alone"};
  for (std::size_t column = begin; column < end; ++column) header.push_back(fmt::format("with {}", column + 1));
  std::vector<Cells> rows;
  for (std::size_t row = 0; row < names.size(); ++row) {
    const auto of_task = std::ranges::find(comparison.tasks, names[row], &TaskDifference::task);
    Cells& cells = rows.emplace_back(
        Cells{std::to_string(row + 1), printable(names[row]), of_task->metric, decimals(of_task->first)});
    for (std::size_t column = begin; column < end; ++column) {
      const auto pair = std::ranges::find_if(comparison.tasks, [&](const TaskDifference& task) {
        return task.task == names[row] && task.with == names[column];
      });
      cells.push_back(pair == comparison.tasks.end()
                          ? ""
                          : signed_decimals(pair->difference) + (pair->lost() || pair->gained() ? "*" : " "));
    }
  }
  return format_table(header, rows, "rllrrrrrr");
}

}  // namespace

std::string format_comparison(const Comparison& comparison) {
  std::vector<Cells> rows, gaps;
  for (const TaskDifference& task : comparison.tasks) {
    const std::string name = printable(task.task);
    append_difference(rows.emplace_back(Cells{name, task.kind, with_commas(task.samples), task.metric}), task);
    gaps.push_back(generalization_row(name, comparison.first, task.first, task.of_first));
    gaps.push_back(generalization_row(name, comparison.second, task.second, task.of_second));
  }
  return format_table({"task", "kind", "samples", "metric", comparison.first, comparison.second, "difference",
                       "95 % interval", "relative", "verdict"},
                      rows, "llrlrrrlrl") +
         summary_of(comparison) + format_generalization(comparison, "system", gaps);
}

nlohmann::json json_of(const Comparison& comparison) {
  nlohmann::json tasks = nlohmann::json::object(), lost = nlohmann::json::array(), gained = lost;
  for (const TaskDifference& task : comparison.tasks) {
    tasks[task.task] = json_of(task);
    if (task.lost()) lost.push_back(task.task);
    if (task.gained()) gained.push_back(task.task);
  }
  nlohmann::json out = json_of_systems(comparison);
  out["tasks"] = tasks;
  out["delta_m"] = comparison.delta_m;
  out["delta_m_low"] = comparison.delta_m_interval.low;
  out["delta_m_high"] = comparison.delta_m_interval.high;
  out["lost"] = lost;
  out["gained"] = gained;
  out["lost_share"] = static_cast<double>(lost.size()) / static_cast<double>(tasks.size());
  out["worst"] = nullptr;
  if (const TaskDifference* worst = worst_of(comparison))
    out["worst"] = {{"task", worst->task}, {"relative", worst->relative}};
  return out;
}

std::string format_transfer(const Comparison& comparison) {
  const Cells names = tasks_of(comparison);
  std::string out;
  for (std::size_t begin = 0; begin < names.size(); begin += kMatrixColumns)
    out += matrix_block(comparison, names, begin) + "\n";
  out += fmt::format(
      "Differences of each task with another one to the task alone: {}\n*: the 95 % interval does not "
      "contain 0\n\n",
      meaning_of_differences(comparison));
  std::vector<Cells> rows, gaps;
  for (const TaskDifference& task : comparison.tasks) {
    const std::string name = printable(task.task), with = printable(task.with);
    append_difference(rows.emplace_back(Cells{name, with}), task);
    if (gaps.empty() || gaps.back()[0] != name)
      gaps.push_back(generalization_row(name, "(alone)", task.first, task.of_first));
    gaps.push_back(generalization_row(name, with, task.second, task.of_second));
  }
  return out +
         format_table({"task", "with", "alone", "together", "difference", "95 % interval", "relative", "verdict"}, rows,
                      "llrrrlrl") +
         format_generalization(comparison, "with", gaps);
}

nlohmann::json json_of_transfer(const Comparison& comparison) {
  nlohmann::json out = json_of_systems(comparison), lost = nlohmann::json::array(), gained = lost;
  nlohmann::json& tasks = out["tasks"] = nlohmann::json::object();
  for (const TaskDifference& task : comparison.tasks) {
    tasks[task.task]["with"][task.with] = json_of(task);
    if (task.lost()) lost.push_back({task.task, task.with});
    if (task.gained()) gained.push_back({task.task, task.with});
  }
  out["lost"] = lost;
  out["gained"] = gained;
  return out;
}

}  // namespace polyhead
