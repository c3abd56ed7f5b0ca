// Defaults and checks of the protocols.
#include "launch/compare/protocol.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"

namespace polyhead {
namespace {

constexpr std::int64_t kEvaluations = 20, kPatience = 5;
constexpr const char* kOrigin = "--until best";

std::vector<std::string> patience_keys(const std::vector<std::string>& tasks) {
  std::vector<std::string> keys = {"run.patience"};
  for (const std::string& task : tasks) keys.push_back(fmt::format("task.{}.patience", task));
  return keys;
}

std::int64_t value_or_zero(const Config& config, const std::string& key) {
  return config.has(key) ? config.integer(key) : 0;
}

bool names(const std::string& value, const std::string& task) {
  return value.starts_with(task + ":") && value.find(':', task.size() + 1) == std::string::npos;
}

// Returns the values of run.best, with those of the tasks in place of "each".
std::vector<std::string> values_of(const Config& config, const std::vector<std::string>& tasks) {
  ValidationOptions options;
  options.best = config.text("run.best");
  for (const std::string& task : tasks) options.tasks[task].metric = config.text(fmt::format("task.{}.metric", task));
  return options.best_values();
}

bool gives_patience(const Config& config) {
  std::vector<std::string> keys = {"run.task_patience"};
  for (const TaskMention& task : config.tasks()) keys.push_back(fmt::format("task.{}.patience", task.name));
  return config.given("run.patience") != nullptr || std::ranges::any_of(keys, [&](const std::string& key) {
           return config.given(key) != nullptr && config.integer(key) > 0;
         });
}

}  // namespace

void apply_protocol(Config& config, Until until) {
  if (until == Until::steps) return;
  if (config.given("run.eval_every") == nullptr)
    config.resolve("run.eval_every",
                   std::to_string(std::max<std::int64_t>(1, config.integer("run.steps") / kEvaluations)), kOrigin);
  if (config.given("run.best") == nullptr) config.resolve("run.best", "each", kOrigin);
  if (!gives_patience(config)) config.resolve("run.patience", std::to_string(kPatience), kOrigin);
}

std::string describe_protocol(const Config& config, Until until) {
  if (until == Until::steps) return "";
  const std::int64_t patience = config.integer("run.patience");
  return fmt::format(
      "every run is evaluated on valid every {} steps (run.eval_every), {}, after {} steps at the latest (run.steps), "
      "and each task is tested at its best checkpoint (run.best = {})",
      config.integer("run.eval_every"),
      patience > 0 ? fmt::format("ends after {} evaluations without a better one (run.patience)", patience)
                   : "ends when all of its tasks are finished (run.patience = 0)",
      config.integer("run.steps"), config.text("run.best"));
}

std::string best_of_run(const Config& config, const std::vector<std::string>& tasks) {
  std::vector<std::string> kept;
  for (const std::string& value : values_of(config, tasks))
    if (value == "mean" || std::ranges::any_of(tasks, [&](const std::string& task) { return names(value, task); }))
      kept.push_back(value);
  return kept.empty() || config.text("run.best") == "each" ? "each" : fmt::format("{}", fmt::join(kept, ", "));
}

std::string tested_checkpoint(const std::vector<std::string>& values, const std::string& task, Until until) {
  if (until == Until::steps) return "latest";
  const auto own = std::ranges::find_if(values, [&](const std::string& value) { return names(value, task); });
  return values.size() > 1 && own != values.end() ? "best:" + *own : "best";
}

void check_equal_samples(const Config& config, const TrainOptions& options) {
  const char* cure =
      "leave it out, compare two configurations with --against, or the best checkpoints with --until best";
  if (config.has("mixture.phases"))
    throw Error(Exit::config, fmt::format("{}: phases change the tasks' samples per step, but a task that trains alone "
                                          "has the same number in every step; {}",
                                          config.quote("mixture.phases"), cure));
  for (const std::string& key : patience_keys(options.tasks))
    if (config.integer(key) > 0)
      throw Error(Exit::config, fmt::format("{}: with early stopping a task does not take the same samples alone and "
                                            "with the others; {}",
                                            config.quote(key), cure));
}

std::vector<std::string> other_decisions(const Config& before, const Config& now,
                                         const std::vector<std::string>& tasks) {
  std::vector<std::string> keys = {"run.steps"};
  const std::vector<std::string> patience = patience_keys(tasks);
  const auto decides = [&](const std::string& key) {
    return value_or_zero(now, key) > 0 || value_or_zero(before, key) > 0;
  };
  if (now.has("run.best") || std::ranges::any_of(patience, decides)) {
    keys.insert(keys.end(), {"run.eval_every", "run.eval_samples"});
    keys.insert(keys.end(), patience.begin(), patience.end());
  }
  std::vector<std::string> lines;
  for (const std::string& key : keys)
    if (const auto [there, here] = std::pair(value_or_zero(before, key), value_or_zero(now, key)); there != here)
      lines.push_back(fmt::format("{}: {} there, {} here", key, there, here));
  return lines;
}

}  // namespace polyhead
