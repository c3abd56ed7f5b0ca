// Derives the configurations of all runs from one or two configurations.
#include "launch/compare/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>

#include "core/base/error.h"
#include "core/base/names.h"
#include "launch/effects.h"
#include "launch/inherit.h"
#include "launch/notes.h"
#include "launch/run_folder.h"
#include "launch/run_options.h"
#include "launch/say.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOrigin = "polyhead compare";

// What all functions below need.
struct Source {
  const Config& config;  // the options of compare
  const Manifest& manifest;
  Until until;
};

void check_runs_end(const Config& config) {
  if (config.integer("run.stop_at") > 0)
    throw Error(Exit::config, fmt::format("{}: compare trains to the end; leave it out", config.quote("run.stop_at")));
}

void keep_tasks(Config& config, const std::vector<std::string>& tasks, const char* origin) {
  config.keep_tasks(tasks);
  config.resolve("run.tasks", fmt::format("{}", fmt::join(tasks, ", ")), origin);
  config.resolve("run.data_hash", "", origin);  // belongs to all tasks
}

// Applies --tasks.
void restrict_tasks(Config& config, const Source& from) {
  if (!from.config.has("tasks")) return;
  const std::vector<std::string> chosen = chosen_tasks(from.config, "tasks", from.manifest),
                                 trained = chosen_tasks(config, "run.tasks", from.manifest);
  for (const std::string& task : chosen)
    if (std::ranges::count(trained, task) == 0)
      throw Error(Exit::config, fmt::format("--tasks {}: the configuration does not train {}, only {}",
                                            from.config.text("tasks"), task, fmt::join(trained, ", ")));
  for (const TaskMention& mention : config.tasks())
    if (std::ranges::count(from.manifest.tasks, mention.name, &TaskInfo::name) == 0)
      return;  // the configuration is read as it is, which reports the wrong name
  const std::string best = config.has("run.best") ? best_of_run(config, chosen) : "";
  keep_tasks(config, chosen, "--tasks");
  if (config.has("run.best") && config.text("run.best") != best)  // it names a task that is left out
    config.resolve("run.best", from.until == Until::best ? best : "", "--tasks");
}

// Returns a configuration as the protocol and --tasks complete it.
Config completed(Config config, const Source& from) {
  check_runs_end(config);
  restrict_tasks(config, from);
  apply_protocol(config, from.until);
  return config;
}

Config configuration(const Config& config) {
  Config out(train_options());
  out.take_sections(config, false);
  return out;
}

// Reads --against FILE, with the options of the command line that apply to both configurations.
Config other_configuration(const Config& config, const Config& mine) {
  Config other = read_config(train_options(), config.path("against"));
  other.take_sections(config, true);
  const fs::path data = mine.path("run.data");
  if (!other.has("run.data")) other.resolve("run.data", data.string(), mine.origin("run.data"));
  if (fs::weakly_canonical(other.path("run.data")) != fs::weakly_canonical(data))
    throw Error(Exit::config, fmt::format("{} and {} are different data sets, so their samples cannot be paired; use "
                                          "one for both, for example with --data DIR",
                                          mine.quote("run.data"), other.quote("run.data")));
  return other;
}

// Prints notes about the options once, rather than for each run.
void print_notes(Config config, const Source& from) {
  const TrainOptions options = train_options_of(config, from.manifest);
  for (const std::string& note : notes_of_options(config, options, from.manifest)) say("{}\n", note);
  if (const std::string note = describe_protocol(config, from.until); !note.empty()) say("{}\n", note);
}

// Refuses options without effect: those of a configuration's own file, and those of the command line, which apply to
// both configurations, if they have no effect in either. Both are resolved; `other` may be null.
void check_effects(const Config& mine, const Config* other, const Manifest& manifest) {
  const TaskKinds kinds = kinds_of(manifest);
  const std::vector<std::string> there = other == nullptr ? std::vector<std::string>() : without_effect(*other, kinds);
  for (const std::string& name : without_effect(mine, kinds))
    if (other == nullptr || mine.origin(name) != "command line" || std::ranges::count(there, name) > 0)
      refuse_without_effect(mine, kinds, name);
}

// Refuses a folder that holds another run, or the same one with other options that decide when it ends.
void check_folder(const ComparedRun& run, const std::optional<Config>& before,
                  const std::vector<std::string>& trained) {
  check_run_folder(run.config);
  if (!before) return;
  const std::vector<std::string> lines = other_decisions(*before, run.config, trained);
  if (!lines.empty())
    throw Error(Exit::config,
                fmt::format("the folder {} holds a run that trains for another number of steps: {}. All runs of a "
                            "comparison need the same: give the same values to resume it, or choose another --out",
                            (run.folder / "run").string(), fmt::join(lines, "; ")));
}

// Resolves the configuration, checks its folder, and adds the run to the plan. Returns its index.
std::size_t add_run(ComparePlan& plan, const Source& from, const std::string& name, Config config, std::uint64_t seed,
                    const std::vector<std::string>& tasks) {
  ComparedRun run{fmt::format("{}-seed{}", name, seed), {}, std::move(config), {}, tasks};
  run.folder = from.config.path("out") / file_stem(run.name);
  run.config.resolve("run.seed", std::to_string(seed), kOrigin);
  run.config.resolve("run.run_dir", (run.folder / "run").string(), kOrigin);
  const TrainOptions options = train_options_of(run.config, from.manifest);
  run.best = options.validation.best_values();
  // Removes values that only other runs use.
  for (const std::string& option : without_effect(run.config, kinds_of(from.manifest))) run.config.erase(option);
  std::error_code code;
  std::optional<Config> before;
  if (const fs::path file = run.folder / "run" / "config.ini"; fs::exists(file, code)) {
    before = read_config(train_options(), file);
    inherit_start(run.config, *before);
  }
  check_folder(run, before, options.tasks);
  plan.runs.push_back(std::move(run));
  return plan.runs.size() - 1;
}

bool has_samples(const Manifest& manifest, const std::string& task, const std::string& split) {
  const auto& splits = manifest.task(task).splits;
  const auto found = splits.find(split);
  return found != splits.end() && found->second.samples > 0;
}

// Returns the tasks of `trained` that can be compared; the others are reported.
std::vector<std::string> comparable(const std::vector<std::string>& trained, const Source& from,
                                    const std::string& split) {
  std::vector<std::string> tasks;
  for (const std::string& task : trained) {
    if (!has_samples(from.manifest, task, split))
      say("{}: is not compared, as the data set has no {} samples of it\n", task, split);
    else if (from.until == Until::best && !has_samples(from.manifest, task, "valid"))
      say("{}: is not compared, as --until best needs valid samples, and the data set has none of it\n", task);
    else
      tasks.push_back(task);
  }
  if (tasks.empty())
    throw Error(Exit::config, fmt::format("there is no task to compare with {} samples in the data set {}; choose "
                                          "another with --split",
                                          split, from.manifest.name));
  return tasks;
}

// The joint configuration of all tasks, from which those of single tasks and pairs are derived.
struct Joint {
  Config config;
  std::vector<std::string> tasks;             // that it trains
  std::map<std::string, std::int64_t> quota;  // samples per step, by task
};

// Returns the configuration of a run of some of the tasks.
// - `steps`: each task takes its quota of the joint step, so its samples are those of the joint run.
// - `best`: the tasks share mixture.batch by the mixture. A task alone has all of it, in all phases.
Config part_of(const Joint& joint, const std::vector<std::string>& tasks, Until until) {
  Config part = joint.config;
  keep_tasks(part, tasks, kOrigin);
  const bool alone = tasks.size() == 1;
  if (until == Until::best) {
    part.resolve("run.best", best_of_run(joint.config, tasks), kOrigin);
    if (alone) part.resolve("mixture.kind", "uniform", kOrigin);
    if (alone) part.resolve("mixture.phases", "", kOrigin);
    return part;
  }
  std::int64_t batch = 0;
  for (const std::string& task : tasks) batch += joint.quota.at(task);
  part.resolve("run.best", "", kOrigin);  // may name another task
  part.resolve("mixture.batch", std::to_string(batch), kOrigin);
  if (alone) return part;
  part.resolve("mixture.kind", "explicit", kOrigin);
  for (const std::string& task : tasks)
    part.resolve(fmt::format("task.{}.rate", task), std::to_string(joint.quota.at(task)), kOrigin);
  return part;
}

// Different pairs have different names, also if names of tasks hold a '+'.
std::string pair_name(const std::string& one, const std::string& other) {
  const auto escaped = [](const std::string& name) {
    std::string text;
    for (const char c : name) text += c == '+' ? "%2B" : c == '%' ? "%25" : std::string(1, c);
    return text;
  };
  return fmt::format("pair-{}+{}", escaped(one), escaped(other));
}

void plan_alone_and_together(ComparePlan& plan, const Source& from, const Joint& joint,
                             const std::vector<std::string>& tasks) {
  plan.first = "single", plan.second = "joint";
  for (const std::string& task : tasks) plan.tasks.push_back({task, "", {}, {}});
  for (const std::uint64_t seed : plan.seeds) {
    const std::size_t together = add_run(plan, from, "joint", joint.config, seed, tasks);
    for (ComparedTask& compared : plan.tasks) {
      const std::vector<std::string> only = {compared.task};
      compared.first.push_back(
          add_run(plan, from, "single-" + compared.task, part_of(joint, only, from.until), seed, only));
      compared.second.push_back(together);
    }
  }
}

void plan_pairs(ComparePlan& plan, const Source& from, const Joint& joint, const std::vector<std::string>& tasks) {
  plan.first = "single", plan.second = "pair";
  if (tasks.size() < 2)
    throw Error(Exit::config, fmt::format("--pairs compares pairs of tasks, but there is only {}; give at least two "
                                          "tasks with --tasks or run.tasks",
                                          tasks[0]));
  if (joint.config.has("mixture.phases"))
    throw Error(Exit::config, fmt::format("{}: --pairs trains pairs with one mixture from the first to the last step; "
                                          "leave one of them out",
                                          joint.config.quote("mixture.phases")));
  std::map<std::pair<std::string, std::string>, std::vector<std::size_t>> together;
  std::map<std::string, std::vector<std::size_t>> alone;
  for (const std::uint64_t seed : plan.seeds) {
    for (const std::string& task : tasks)
      alone[task].push_back(add_run(plan, from, "single-" + task, part_of(joint, {task}, from.until), seed, {task}));
    for (std::size_t i = 0; i < tasks.size(); ++i)
      for (std::size_t j = i + 1; j < tasks.size(); ++j) {
        const std::vector<std::string> both = {tasks[i], tasks[j]};
        const std::size_t run =
            add_run(plan, from, pair_name(both[0], both[1]), part_of(joint, both, from.until), seed, both);
        together[{both[0], both[1]}].push_back(run);
        together[{both[1], both[0]}].push_back(run);
      }
  }
  for (const std::string& task : tasks)
    for (const std::string& with : tasks)
      if (task != with) plan.tasks.push_back({task, with, alone.at(task), together.at({task, with})});
}

void plan_from_one(ComparePlan& plan, const Source& from, const Config& mine) {
  Config resolved = mine;
  const TrainOptions options = train_options_of(resolved, from.manifest);
  if (from.until == Until::steps) check_equal_samples(resolved, options);
  check_effects(resolved, nullptr, from.manifest);
  Joint joint{mine, options.tasks, {}};
  const std::vector<TaskQuota> quota =
      phase_quotas(options.mixture, options.tasks, train_samples(from.manifest, options.tasks)).at(0);
  for (std::size_t t = 0; t < options.tasks.size(); ++t) joint.quota[options.tasks[t]] = quota[t].samples;
  const std::vector<std::string> tasks = comparable(options.tasks, from, plan.split);
  if (plan.pairs)
    plan_pairs(plan, from, joint, tasks);
  else
    plan_alone_and_together(plan, from, joint, tasks);
}

void plan_two(ComparePlan& plan, const Source& from, const Config& mine, const Config& other) {
  Config my_resolved = mine, other_resolved = other;
  const std::vector<std::string> of_mine = train_options_of(my_resolved, from.manifest).tasks,
                                 of_other = train_options_of(other_resolved, from.manifest).tasks;
  check_effects(my_resolved, &other_resolved, from.manifest);
  check_effects(other_resolved, &my_resolved, from.manifest);
  std::vector<std::string> shared;
  std::ranges::copy_if(of_mine, std::back_inserter(shared),
                       [&](const std::string& task) { return std::ranges::count(of_other, task) > 0; });
  if (shared.empty())
    throw Error(Exit::config, fmt::format("the two configurations have no task in common: one trains {}, the other {}",
                                          fmt::join(of_mine, ", "), fmt::join(of_other, ", ")));
  const Config& config = from.config;
  plan.first = config.path("against").stem().string();
  plan.second = config.has("config") ? config.path("config").stem().string() : "defaults";
  if (plan.first == plan.second) plan.first += "-against";
  const std::vector<std::string> tasks = comparable(shared, from, plan.split);
  for (const std::string& task : tasks) plan.tasks.push_back({task, "", {}, {}});
  for (const std::uint64_t seed : plan.seeds) {
    const std::size_t first = add_run(plan, from, plan.first, other, seed, tasks);
    const std::size_t second = add_run(plan, from, plan.second, mine, seed, tasks);
    for (ComparedTask& compared : plan.tasks) {
      compared.first.push_back(first);
      compared.second.push_back(second);
    }
  }
}

}  // namespace

ComparePlan plan_comparison(const Config& config, const Manifest& manifest) {
  ComparePlan plan;
  plan.until = choice_from<Until>(config.text("until")).value();
  plan.pairs = config.flag("pairs");
  plan.split = config.text("split");
  const Source from{config, manifest, plan.until};
  const Config given = configuration(config), mine = completed(given, from);
  print_notes(mine, from);
  for (std::int64_t i = 0; i < config.integer("seeds"); ++i)
    plan.seeds.push_back(static_cast<std::uint64_t>(mine.integer("run.seed") + i));
  if (!config.has("against")) {
    plan_from_one(plan, from, mine);
    return plan;
  }
  const Config other = completed(other_configuration(config, given), from);
  if (const std::string note = describe_protocol(other, plan.until); note != describe_protocol(mine, plan.until))
    say("{}: {}\n", config.text("against"), note);
  plan_two(plan, from, mine, other);
  return plan;
}

}  // namespace polyhead
