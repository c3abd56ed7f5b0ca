// Early stopping and the best step, from the results of evaluations.
#include "distributed/evaluation/early_stopping.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/kinds/registry.h"

namespace polyhead {
namespace {

struct Target {
  std::string task, metric;
};
// Splits "TASK:METRIC".
Target target_of(const std::string& best) {
  const std::size_t colon = best.rfind(':');
  if (colon == std::string::npos)
    throw Error(Exit::config,
                fmt::format("run.best = {}: expected mean, each or TASK:METRIC, as in section:accuracy", best));
  return {best.substr(0, colon), best.substr(colon + 1)};
}

void check_metric(const std::string& where, const std::string& name, const ValidatedTask& task,
                  const std::string& metric) {
  if (std::ranges::count(task.metrics, metric) == 0)
    throw Error(Exit::config, fmt::format("{}: task {} of kind {} has no metric '{}' on valid; it has {}", where, name,
                                          name_of(task.kind), metric, fmt::join(task.metrics, ", ")));
}

// Throws Error(config) if a value of run.best, "TASK:METRIC", is not that of a task with valid samples.
void check_best(const std::string& value, const std::map<std::string, ValidatedTask>& tasks) {
  const auto [task, metric] = target_of(value);
  const auto found = tasks.find(task);
  if (found == tasks.end()) {
    std::vector<std::string> names;
    for (const auto& [name, of] : tasks) names.push_back(name);
    throw Error(Exit::config,
                fmt::format("run.best = {}: '{}' is not a task of the run with valid samples; those tasks are {}",
                            value, task, fmt::join(names, ", ")));
  }
  check_metric("run.best", task, found->second, metric);
}

// Returns the value with a sign such that higher is better; nullopt if there is no value.
std::optional<double> score(const ValidationResults& results, const std::string& task, const std::string& metric) {
  const auto found = results.find(task);
  if (found == results.end()) return std::nullopt;
  const auto value = found->second.find(metric);
  if (value == found->second.end()) return std::nullopt;
  return lower_is_better(metric) ? -value->second : value->second;
}

void note(BestValue& best, double value, std::int64_t step) {
  ++best.since;
  if (std::isfinite(value) && (best.step == 0 || value > best.value)) best = {value, step, 0};
}

}  // namespace

bool ValidationOptions::used() const {
  return !best.empty() || std::ranges::any_of(tasks, [](const auto& task) { return task.second.patience > 0; });
}

std::vector<std::string> ValidationOptions::best_values() const {
  std::vector<std::string> values;
  const auto complete = [&](std::string_view value) {
    const std::size_t colon = value.rfind(':');
    return value == "mean" || value == "each" ||
           (colon != value.npos && tasks.contains(std::string(value.substr(0, colon))));
  };
  for (std::string_view rest = best; !trim(rest).empty();) {
    // As far as the first comma behind which a value is complete, because a task's name may have commas.
    std::size_t end = rest.find(',');
    const std::size_t first = std::min(end, rest.size());
    while (end < rest.size() && !complete(trim(rest.substr(0, end)))) end = rest.find(',', end + 1);
    end = std::min(end, rest.size());
    if (!complete(trim(rest.substr(0, end)))) end = first;
    if (const std::string_view value = trim(rest.substr(0, end)); value != "each")
      values.emplace_back(value);
    else
      for (const auto& [name, task] : tasks)
        if (task.has_valid) values.push_back(fmt::format("{}:{}", name, task.metric));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return values;
}

bool ValidationState::is_best(std::int64_t of) const {
  return run.step == of || std::ranges::any_of(best, [&](const auto& one) { return one.second.step == of; });
}

void check(const ValidationOptions& options, const std::map<std::string, ValidatedTask>& tasks) {
  for (const auto& [name, task] : options.tasks) {
    const auto found = tasks.find(name);
    if (found != tasks.end())
      check_metric(fmt::format("task.{}.metric", name), name, found->second, task.metric);
    else if (task.patience > 0)
      throw Error(
          Exit::config,
          fmt::format(
              "task {} has no valid samples, which its early stopping needs: import some, or set task.{}.patience = 0",
              name, name));
  }
  if (options.patience > 0 && options.best.empty())
    throw Error(Exit::config,
                fmt::format("run.patience = {} counts evaluations without a better value of run.best, which is not "
                            "given: give it, as mean, each or TASK:METRIC",
                            options.patience));
  if (options.best.empty()) return;
  if (tasks.empty()) throw Error(Exit::config, fmt::format("run.best = {}: no task has valid samples", options.best));
  const std::vector<std::string> values = options.best_values();
  for (const std::string& value : values) {
    if (std::ranges::count(values, value) > 1)
      throw Error(Exit::config, fmt::format("run.best = {}: {} is listed twice; keep one", options.best, value));
    if (value != "mean") check_best(value, tasks);
  }
}

std::vector<std::string> take_note(const ValidationOptions& options, const ValidationResults& results,
                                   const std::set<std::string>& active, std::int64_t step, ValidationState& state) {
  std::vector<std::string> finished;
  double sum = 0;
  std::int64_t scored = 0;
  for (const auto& [name, task] : options.tasks) {
    const auto value = score(results, name, task.metric);
    if (!value) continue;
    sum += *value;
    ++scored;
    if (task.patience == 0 || !active.contains(name) || state.finished.contains(name)) continue;
    BestValue& best = state.tasks[name];
    note(best, *value, step);
    if (best.since < task.patience) continue;
    state.finished[name] = step;
    finished.push_back(name);
  }
  const std::vector<std::string> values = options.best_values();
  for (const std::string& value : values) {
    BestValue& best = values.size() > 1 ? state.best[value] : state.run;
    if (value == "mean") {
      if (scored > 0) note(best, sum / static_cast<double>(scored), step);
      continue;
    }
    const auto [task, metric] = target_of(value);
    if (const auto found = score(results, task, metric)) note(best, *found, step);
  }
  if (values.size() > 1) state.run = state.best.at(values.front());
  return finished;
}

std::string why_ended(const ValidationOptions& options, const ValidationState& state) {
  if (!options.tasks.empty() && state.finished.size() == options.tasks.size()) return "every task is finished";
  if (options.patience > 0 && !state.best.empty()) {
    std::int64_t since = state.run.since;
    for (const auto& [value, best] : state.best) since = std::min(since, best.since);
    return since < options.patience
               ? ""
               : fmt::format("none of {} has become better in the last {} evaluations", options.best, since);
  }
  if (options.patience > 0 && state.run.since >= options.patience)
    return fmt::format("{} was best after step {}, {} evaluations ago", options.best, state.run.step, state.run.since);
  return "";
}

}  // namespace polyhead
