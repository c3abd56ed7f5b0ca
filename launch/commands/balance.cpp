// `polyhead balance`: reads losses and inner products of gradients as JSON Lines and writes the weights of a balancer.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/balancing/balancer.h"
#include "core/base/error.h"
#include "launch/balance_lines.h"
#include "launch/commands/commands.h"
#include "launch/effects.h"
#include "launch/input_lines.h"
#include "launch/output_file.h"

namespace polyhead {
namespace {

constexpr std::string_view kCommandLine = "command line";  // the origin of its options

// Returns the values of the configuration file and, above them, those of the command line. The file may configure a
// whole training run, such as a run's config.ini.
Config with_file(const Config& given) {
  if (!given.has("config")) {
    require_effects(given, {});
    return given;
  }
  Config config(balance_options());
  const Config file = read_config(train_options(), given.path("config"));
  for (const TaskMention& task : file.tasks()) config.add_task(task.name, task.origin);
  for (const auto& [from, names] : {std::pair(&file, file.names_given()), std::pair(&given, given.names_given())})
    for (const std::string& name : names)
      if (find_option(balance_options(), name) != nullptr) config.set(name, *from->given(name));
  require_effects(config, {}, &file);
  return config;
}

// Returns the names of the tasks; none: their number is that of the first line.
std::vector<std::string> tasks_of(const Config& config) {
  std::vector<std::string> tasks = config.list("run.tasks");
  if (tasks.empty())
    for (const TaskMention& task : config.tasks())
      if (task.origin != kCommandLine) tasks.push_back(task.name);
  for (auto task = tasks.begin(); task != tasks.end(); ++task)
    if (std::count(tasks.begin(), task, *task) > 0)
      throw Error(Exit::config, fmt::format("{}: task '{}' is given twice", config.quote("run.tasks"), *task));
  for (const TaskMention& task : config.tasks())
    if (task.origin == kCommandLine && std::ranges::count(tasks, task.name) == 0)
      throw Error(Exit::config,
                  fmt::format("task.{}.weight: there is no such task; {}", task.name,
                              tasks.empty() ? std::string("give the names of all tasks, in order, with --tasks")
                                            : fmt::format("the tasks are {}", fmt::join(tasks, ", "))));
  return tasks;
}

// Writes the weights for line after line.
class Balancing {
 public:
  explicit Balancing(const Config& config) : config_(config), tasks_(tasks_of(config)) {
    read_into(options_, config, "balance");
    if (!tasks_.empty()) make();
  }

  // Returns the line of output.
  std::string weights(const std::string& text, const std::string& where) {
    const BalanceLine line = read_balance_line(text, where);
    if (tasks_.empty()) name_tasks(line, where);
    if (line.tasks != 0 && line.tasks != tasks_.size())
      throw Error(Exit::data, fmt::format("{}: has {} tasks, expected {} ({})", where, line.tasks, tasks_.size(),
                                          fmt::join(tasks_, ", ")));
    const BalanceInput input =
        balance_input_of(line, balancer_->reads(), options_.method, step_, static_weight_, where);
    step_ = input.step;
    try {
      return nlohmann::json{{"weights", balancer_->weights(input)}}.dump();
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}", where, error.what()));
    }
  }

 private:
  void name_tasks(const BalanceLine& line, const std::string& where) {
    if (line.tasks == 0)
      throw Error(Exit::data, fmt::format("{}: does not say how many tasks there are; give \"gram\", \"norms\" or "
                                          "\"losses\", or the tasks' names with --tasks",
                                          where));
    for (std::size_t task = 1; task <= line.tasks; ++task) tasks_.push_back(fmt::format("task{}", task));
    make();
  }
  void make() {
    const auto seed = static_cast<std::uint64_t>(config_.integer("run.seed"));
    balancer_ = make_balancer(options_, tasks_, seed);
    for (const std::string& task : tasks_)
      static_weight_.push_back(config_.number(fmt::format("task.{}.weight", task)));
  }

  const Config& config_;
  std::vector<std::string> tasks_;
  BalancerOptions options_;
  std::unique_ptr<Balancer> balancer_;
  std::vector<double> static_weight_;  // [tasks]
  std::int64_t step_ = 0;              // of the last line
};

}  // namespace

std::span<const Option> balance_options() {
  using enum OptionType;
  static const std::vector<Option> table = [] {
    std::vector<Option> all = {
        {.key = "config",
         .type = path,
         .help = "A configuration file (INI), as for polyhead train; its sections [balance] and [task.NAME], run.tasks "
                 "and run.seed are read. A run's config.ini gives the balancer of that run.",
         .alias = "c",
         .by_command = true},
        {.key = "in", .type = path, .help = "The JSONL file to read. If not given, standard input is read."},
        {.section = "run",
         .key = "tasks",
         .type = list,
         .help = "Names of the tasks, in the order of the lists on the lines. If empty, the tasks of the configuration "
                 "file's sections [task.NAME], or task1, task2, ….",
         .alias = "tasks"},
    };
    const auto copy = [&](std::string_view name) -> Option& {
      all.push_back(*find_option(train_options(), name));
      return all.back();
    };
    copy("run.seed").help = "Random seed of the balancers that make random choices.";
    BalancerOptions defaults;
    add_rows(all, "balance", fields(defaults));
    std::ranges::find(all, "method", &Option::key)->alias = "method";
    copy("task.NAME.weight");
    return all;
  }();
  return table;
}

int run_balance(const Config& given, Communicator&) {
  const Config config = with_file(given);
  Balancing balancing(config);
  InputLines in(config.has("in") ? std::optional(config.path("in")) : std::nullopt);
  if (in.is_file_of(STDOUT_FILENO))
    throw Error(Exit::usage, fmt::format("{}: standard output goes to the file that is read, which the shell's '>' "
                                         "empties first; choose another file",
                                         in.name()));
  OutputFile out(std::nullopt);
  std::string text;
  while (in.next(text, true) == InputLines::Next::line)
    if (text.find_first_not_of(" \t\r") != std::string::npos)
      out.write(balancing.weights(text, fmt::format("{}:{}", in.name(), in.number())) + '\n');
  return 0;
}

}  // namespace polyhead
