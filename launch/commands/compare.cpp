// `polyhead compare`: trains each task alone and all tasks together, each pair of tasks, or two configurations, with
// several seeds, as `polyhead train` would. Then it reports the differences on a split.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/choice.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "launch/commands/commands.h"
#include "launch/compare/plan.h"
#include "launch/compare/report.h"
#include "launch/compare/testing.h"
#include "launch/compare/training.h"
#include "launch/effects.h"
#include "launch/launcher.h"
#include "launch/run_options.h"
#include "launch/say.h"
#include "launch/signals.h"

namespace polyhead {
namespace {

using AllResults = std::vector<std::map<std::string, TestedTask>>;  // of every run, by task

void check_usage(const Config& config) {
  if (find_launcher().mpi)
    throw Error(Exit::usage,
                "compare starts the workers of each run itself: run it without mpirun or srun, and use for example "
                "--launcher 'mpirun -n 4'");
  if (config.origin("run.run_dir") == "command line")
    throw Error(Exit::usage, "compare creates a folder for each run: give the folder of all runs with --out DIR");
  if (config.flag("pairs") && config.has("against"))
    throw Error(Exit::usage,
                "--pairs trains pairs of tasks of one configuration, and --against compares two configurations; leave "
                "one of them out");
}

SystemResults results_of(const std::vector<std::size_t>& runs, const std::string& task, const AllResults& all) {
  SystemResults results;
  for (const std::size_t run : runs) {
    const TestedTask& tested = all.at(run).at(task);
    results.rows.push_back(tested.rows);
    results.train.push_back(tested.train);
    results.steps.push_back(static_cast<double>(tested.step));
    results.samples.push_back(static_cast<double>(tested.samples));
    results.seconds.push_back(tested.seconds);
  }
  return results;
}

Comparison compare_runs(const ComparePlan& plan, const AllResults& all, const Manifest& manifest, int draws) {
  std::vector<TaskResults> tasks;
  for (const ComparedTask& compared : plan.tasks) {
    const TaskInfo& info = manifest.task(compared.task);
    tasks.push_back({info.name, info.kind, headline_of(info), results_of(compared.first, info.name, all),
                     results_of(compared.second, info.name, all), compared.with});
  }
  Comparison comparison = compare_systems(tasks, draws);
  comparison.first = plan.first, comparison.second = plan.second;
  comparison.seeds = plan.seeds, comparison.split = plan.split;
  comparison.until = plan.until;
  return comparison;
}

void print(const Comparison& comparison, bool pairs, bool as_json) {
  if (as_json) {
    const nlohmann::json json = pairs ? json_of_transfer(comparison) : json_of(comparison);
    std::puts(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    fmt::print("{} against {}: seeds {} to {}, split {}, until {}, {} paired draws over samples and seeds\n\n{}",
               comparison.second, comparison.first, comparison.seeds.front(), comparison.seeds.back(), comparison.split,
               name_of(comparison.until), with_commas(comparison.draws),
               pairs ? format_transfer(comparison) : format_comparison(comparison));
  }
}

std::vector<Option> own_options() {
  using enum OptionType;
  return {
      {.key = "config", .type = path, .help = "The configuration file (INI), as for polyhead train.", .alias = "c"},
      {.key = "out",
       .type = path,
       .help = "The folder of all runs. Runs in it that are finished are not repeated; unfinished ones are resumed."},
      {.key = "against",
       .type = path,
       .help = "Another configuration file to compare with, instead of training each task alone. Section options on "
               "the command line apply to both configurations."},
      {.key = "until",
       .type = choice,
       .value = std::string(name_of(Until::steps)),
       .help = "steps: every run makes run.steps steps, and a task takes the same samples alone and with others. best: "
               "every run stops early on valid, after run.steps steps at the latest, and each task is tested at its "
               "best checkpoint. If they are not given, run.best is then each, run.eval_every a twentieth of "
               "run.steps, and run.patience 5 evaluations.",
       .allowed = all_choices<Until>("|")},
      {.key = "tasks",
       .type = list,
       .help = "Names of the tasks to compare, separated by commas: only these are trained, alone and together. If "
               "empty, all tasks of the configuration are."},
      {.key = "pairs",
       .type = flag,
       .help =
           "Train each pair of tasks together instead of all tasks, and print how each task changes with each other "
           "one."},
      {.key = "seeds",
       .type = integer,
       .value = "3",
       .help = "Number of seeds per configuration: run.seed and the seeds that follow it.",
       .allowed = ">=1"},
      {.key = "jobs",
       .type = integer,
       .value = "1",
       .help =
           "Maximum number of runs that train at the same time. If neither run.threads nor OMP_NUM_THREADS is given, "
           "each of several has an equal share of the cores or, with --launcher, one thread per worker.",
       .allowed = fmt::format(">=1,<={}", kMostChildren)},
      {.key = "launcher",
       .help = "Command that starts the workers of a run, such as 'mpirun -n 4' or 'srun --mpi=pmix -n 4'. If not "
               "given, a run has one worker."},
      {.key = "split",
       .type = choice,
       .value = "test",
       .help = "The split to compare on.",
       .allowed = "train|valid|test"},
      {.key = "draws",
       .type = integer,
       .value = "10000",
       .help = "Number of draws of the paired bootstrap.",
       .allowed = ">=100"},
      {.key = "json", .type = flag, .help = "Print one JSON object instead of a table."},
  };
}

}  // namespace

std::span<const Option> compare_options() {
  static const std::vector<Option> table = [] {
    std::vector<Option> all = own_options();
    std::ranges::copy_if(train_options(), std::back_inserter(all),
                         [](const Option& option) { return !option.section.empty(); });
    return all;
  }();
  return table;
}

int run_compare(const Config& config, Communicator& world) {
  check_usage(config);
  config.path("out");
  if (!config.has("run.data"))
    throw Error(Exit::config, "run.data is not given; add --data DIR, or run.data to the configuration file");
  const Manifest manifest = read_data_set(config);
  const ComparePlan plan = plan_comparison(config, manifest);
  for (const ComparedRun& run : plan.runs)
    for (const char* name : {"config", "against"})
      if (config.has(name))
        check_not_input(run.folder / "run.ini", "--out", config.path(name), fmt::format("--{}", name));
  const TrainingOptions training{config.has("launcher") ? config.text("launcher") : "",
                                 static_cast<int>(config.integer("jobs"))};
  if (!train_runs(plan, training, world)) return static_cast<int>(Exit::preempted);

  AllResults all;
  for (const ComparedRun& run : plan.runs) {
    std::optional<std::map<std::string, TestedTask>> of_run;
    if (!stop_requested()) of_run = test_run(run, plan, manifest, world);
    if (!of_run) {
      say("stopped by a signal before {} was evaluated; the same command resumes from here\n", run.name);
      return static_cast<int>(Exit::preempted);
    }
    all.push_back(std::move(*of_run));
  }
  print(compare_runs(plan, all, manifest, static_cast<int>(config.integer("draws"))), plan.pairs, config.flag("json"));
  return 0;
}

}  // namespace polyhead
