// `polyhead compare`: trains each task alone and all tasks together, or two configurations, with several seeds, one run
// after another as `polyhead train` would. Then it reports the differences on a split. OUT/NAME/ belongs to one run:
// run.ini is its configuration, run/ its run folder, log the output of training, and SPLIT.rows.json its evaluation.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/names.h"
#include "core/base/text.h"
#include "core/kinds/registry.h"
#include "core/model/device.h"
#include "distributed/checkpoint/trained.h"
#include "distributed/evaluation/evaluation.h"
#include "launch/child_program.h"
#include "launch/commands/commands.h"
#include "launch/comparison.h"
#include "launch/effects.h"
#include "launch/host.h"
#include "launch/inherit.h"
#include "launch/launcher.h"
#include "launch/notes.h"
#include "launch/run_folder.h"
#include "launch/run_options.h"
#include "launch/run_status.h"
#include "launch/say.h"
#include "launch/signals.h"
#include "launch/table.h"
#include "launch/threads.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

struct Run {
  std::string name;
  fs::path folder;
  Config config;                   // resolved as by train
  std::vector<std::string> tasks;  // to evaluate
};

// All runs in the order of training. of_first[task][i] is the run of the first system with seed i for a task.
struct Plan {
  std::string first, second;
  std::vector<std::uint64_t> seeds;
  std::vector<Run> runs;
  std::map<std::string, std::vector<std::size_t>> of_first, of_second;
};

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
void print_notes(Config config, const Manifest& manifest) {
  const TrainOptions options = train_options_of(config, manifest);
  for (const std::string& note : notes_of_options(config, options, manifest)) say("{}\n", note);
}

void check_runs_end(const Config& config) {
  if (config.integer("run.stop_at") > 0)
    throw Error(Exit::config, fmt::format("{}: compare trains to the end; leave it out", config.quote("run.stop_at")));
}

// A task that trains alone takes its quota of the joint step, for the same number of steps. So the quota must not
// change, and no task may end earlier.
void check_equal_samples(const Config& config, const TrainOptions& options) {
  const char* cure = "leave it out, or compare two configurations with --against";
  if (config.has("mixture.phases"))
    throw Error(Exit::config, fmt::format("{}: phases change the tasks' samples per step, but a task that trains alone "
                                          "has the same number in every step; {}",
                                          config.quote("mixture.phases"), cure));
  std::vector<std::string> patience = {"run.patience"};
  for (const std::string& task : options.tasks) patience.push_back(fmt::format("task.{}.patience", task));
  for (const std::string& key : patience)
    if (config.integer(key) > 0)
      throw Error(Exit::config, fmt::format("{}: with early stopping a task does not take the same samples alone and "
                                            "with the others; {}",
                                            config.quote(key), cure));
}

// Resolves the configuration, refuses a folder that holds another run, and adds the run to the plan. Returns its index.
std::size_t add_run(Plan& plan, const std::string& name, const fs::path& out, Config config, std::uint64_t seed,
                    const Manifest& manifest, const std::vector<std::string>& tasks) {
  Run run{fmt::format("{}-seed{}", name, seed), {}, std::move(config), tasks};
  run.folder = out / file_stem(run.name);
  run.config.resolve("run.seed", std::to_string(seed), "polyhead compare");
  run.config.resolve("run.run_dir", (run.folder / "run").string(), "polyhead compare");
  train_options_of(run.config, manifest);
  // Removes values that only other runs use.
  for (const std::string& name : without_effect(run.config, kinds_of(manifest))) run.config.erase(name);
  std::error_code code;
  if (const fs::path before = run.folder / "run" / "config.ini"; fs::exists(before, code))
    inherit_start(run.config, read_config(train_options(), before));
  check_run_folder(run.config);
  plan.runs.push_back(std::move(run));
  return plan.runs.size() - 1;
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

// Returns the tasks of `trained` that have samples in the split; the others are reported.
std::vector<std::string> with_split(const std::vector<std::string>& trained, const Manifest& manifest,
                                    const std::string& split) {
  std::vector<std::string> tasks;
  for (const std::string& task : trained) {
    const auto& splits = manifest.task(task).splits;
    const auto found = splits.find(split);
    if (found != splits.end() && found->second.samples > 0)
      tasks.push_back(task);
    else
      say("{}: is not compared, as the data set has no {} samples of it\n", task, split);
  }
  if (tasks.empty())
    throw Error(Exit::config, fmt::format("there is no task to compare with {} samples in the data set {}; choose "
                                          "another with --split",
                                          split, manifest.name));
  return tasks;
}

void plan_alone_and_together(Plan& plan, const Config& config, const Config& mine, const Manifest& manifest) {
  Config resolved = mine;
  const TrainOptions options = train_options_of(resolved, manifest);
  check_equal_samples(resolved, options);
  check_effects(resolved, nullptr, manifest);
  const std::vector<TaskQuota> quota =
      phase_quotas(options.mixture, options.tasks, train_samples(manifest, options.tasks)).at(0);
  plan.first = "single", plan.second = "joint";
  const std::vector<std::string> tasks = with_split(options.tasks, manifest, config.text("split"));
  for (const std::uint64_t seed : plan.seeds) {
    const std::size_t joint = add_run(plan, "joint", config.path("out"), mine, seed, manifest, tasks);
    for (std::size_t t = 0; t < options.tasks.size(); ++t) {
      const std::string& task = options.tasks[t];
      if (std::ranges::count(tasks, task) == 0) continue;
      Config single = mine;
      single.keep_tasks({task});
      single.resolve("run.tasks", task, "polyhead compare");
      single.resolve("run.data_hash", "", "polyhead compare");  // belongs to all tasks
      single.resolve("run.best", "", "polyhead compare");       // may name another task
      single.resolve("mixture.batch", std::to_string(quota[t].samples), "polyhead compare");
      plan.of_first[task].push_back(
          add_run(plan, "single-" + task, config.path("out"), std::move(single), seed, manifest, {task}));
      plan.of_second[task].push_back(joint);
    }
  }
}

void plan_two(Plan& plan, const Config& config, const Config& mine, const Manifest& manifest) {
  const Config other = other_configuration(config, mine);
  check_runs_end(other);
  Config my_resolved = mine, other_resolved = other;
  const std::vector<std::string> of_mine = train_options_of(my_resolved, manifest).tasks,
                                 of_other = train_options_of(other_resolved, manifest).tasks;
  check_effects(my_resolved, &other_resolved, manifest);
  check_effects(other_resolved, &my_resolved, manifest);
  std::vector<std::string> shared;
  std::ranges::copy_if(of_mine, std::back_inserter(shared),
                       [&](const std::string& task) { return std::ranges::count(of_other, task) > 0; });
  if (shared.empty())
    throw Error(Exit::config, fmt::format("the two configurations have no task in common: one trains {}, the other {}",
                                          fmt::join(of_mine, ", "), fmt::join(of_other, ", ")));
  plan.first = config.path("against").stem().string();
  plan.second = config.has("config") ? config.path("config").stem().string() : "defaults";
  if (plan.first == plan.second) plan.first += "-against";
  const std::vector<std::string> tasks = with_split(shared, manifest, config.text("split"));
  for (const std::uint64_t seed : plan.seeds) {
    const std::size_t first = add_run(plan, plan.first, config.path("out"), other, seed, manifest, tasks);
    const std::size_t second = add_run(plan, plan.second, config.path("out"), mine, seed, manifest, tasks);
    for (const std::string& task : tasks) {
      plan.of_first[task].push_back(first);
      plan.of_second[task].push_back(second);
    }
  }
}

std::string last_line(const fs::path& log) {
  std::istringstream text(read_file(log));
  std::string last;
  for (std::string line; std::getline(text, line);)
    if (!line.empty()) last = line;
  return last;
}

bool trained_already(const Run& run) try {
  const auto status = read_status(run.folder / "run");
  return status && status->state == "done";
} catch (const Error& error) {
  say("{}: {}; training resumes from its newest checkpoint\n", run.name, error.what());
  return false;
}

// Trains the runs that are not done yet. Returns false if a signal ended it.
bool train_runs(const Plan& plan, const std::string& launcher) {
  std::vector<std::string> words;
  std::istringstream stream(launcher);
  for (std::string word; stream >> word;) words.push_back(word);
  words.push_back(fs::read_symlink("/proc/self/exe").string());
  for (std::size_t i = 0; i < plan.runs.size(); ++i) {
    const Run& run = plan.runs[i];
    const std::string where = fmt::format("{} of {}: {}", i + 1, plan.runs.size(), run.name);
    if (trained_already(run)) {
      say("{}: is already trained\n", where);
      continue;
    }
    std::error_code code;
    fs::create_directories(run.folder, code);
    if (code)
      throw Error(Exit::cannot_write,
                  fmt::format("cannot create the folder {}: {}", run.folder.string(), code.message()));
    if (const std::string note = unfinished(run.folder / "run"); !note.empty()) say("{}: {}\n", where, note);
    write_file_atomically(run.folder / "run.ini", run.config.ini());
    const auto began = std::chrono::steady_clock::now();
    std::vector<std::string> command = words;
    command.insert(command.end(), {"train", "-c", (run.folder / "run.ini").string()});
    const int ended = stop_requested() ? static_cast<int>(Exit::preempted)
                                       : run_child_program(command, run.folder / "log", stop_requested());
    // After a signal, mpirun may end with an exit code of its own.
    if (ended != 0 && (stop_requested() || ended == static_cast<int>(Exit::preempted))) {
      say("{}: stopped by a signal; the same command resumes from here\n", where);
      return false;
    }
    if (ended != 0) {
      const bool known = ended == 65 || ended == 73 || ended == 76 || ended == 78;
      throw Error(known ? static_cast<Exit>(ended) : Exit::internal,
                  fmt::format("the run {} ended with code {}: {} (all that it printed: {}). After the cause is fixed, "
                              "the same command resumes it",
                              run.name, ended, last_line(run.folder / "log"), (run.folder / "log").string()));
    }
    say("{}: trained in {}\n", where,
        duration(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count()));
  }
  return true;
}

using Rows = std::map<std::string, std::vector<double>>;  // by task

Metric headline_of(const TaskInfo& task) {
  return headline(task.kind, {task.labels, task.outputs});
}

// Returns a hash of everything that an evaluation depends on.
std::string evaluation_key(const Status& status, const Run& run, const Manifest& manifest, const std::string& split) {
  std::string content = fmt::format("{} {} {}\n", status.parameter_hash, split, manifest.tokenizer.sha256);
  for (const std::string& task : run.tasks)
    if (headline_of(manifest.task(task)).key == "entity_f1")
      content += fmt::format("{} entity_f1\n", task);  // earlier versions had rows of accuracy
  for (const std::string& task : run.tasks)
    for (const ShardInfo& shard : manifest.task(task).splits.at(split).shards)
      content += fmt::format("{} {} {} {}\n", task, shard.file, shard.samples, shard.sha256);
  return to_hex(hash_bytes(content));
}

// Returns nullopt if a signal ended it.
std::optional<Rows> evaluate_run(const Run& run, const Manifest& manifest, const std::string& split,
                                 Communicator& world) {
  const Status status = read_status(run.folder / "run").value();
  const fs::path file = run.folder / (split + ".rows.json");
  const std::string key = evaluation_key(status, run, manifest, split);
  std::error_code code;
  if (fs::exists(file, code)) try {
      const auto json = nlohmann::json::parse(read_file(file));
      if (json.at("key") == key) return json.at("rows").get<Rows>();
    } catch (const nlohmann::json::exception&) {  // written by another program; the run is evaluated again
    }
  const std::string device = resolve_device(run.config.text("run.device"));
  const auto given = static_cast<int>(run.config.integer("run.threads"));
  const ThreadChoice threads = choose_threads(given, cpus_from_affinity(world), world.size(), device);
  const TrainedModel trained = load_trained(run.folder / "run", {}, run.tasks, device, threads.threads);
  if (trained.step != status.step)
    throw Error(Exit::data,
                fmt::format("the run {} was trained to step {}, but that checkpoint is damaged ({}); delete "
                            "{} to train it again",
                            run.name, status.step, fmt::join(trained.warnings, "; "), run.folder.string()));
  Rows rows;
  for (const auto& [index, head] : trained.model->heads()) {
    const TaskInfo& info = manifest.task(trained.description.tasks[index].name);
    const SplitReader reader(run.config.path("run.data"), manifest, info, split);
    const EvaluationRequest request{.stop = [] { return stop_requested().load(); }};
    Evaluation evaluation =
        evaluate(*trained.model, trained.description, index, split, reader, *trained.tokenizer, request, world);
    if (evaluation.stopped) return std::nullopt;
    const TrainedTask& task = trained.description.tasks[index];
    rows[info.name] = std::move(evaluation.rows.at(headline(task.kind, task.view()).key));
  }
  write_file_atomically(file, nlohmann::json{{"key", key}, {"rows", rows}}.dump() + "\n");
  return rows;
}

}  // namespace

std::span<const Option> compare_options() {
  using enum OptionType;
  static const std::vector<Option> table = [] {
    std::vector<Option> all = {
        {.key = "config", .type = path, .help = "The configuration file (INI), as for polyhead train.", .alias = "c"},
        {.key = "out",
         .type = path,
         .help = "The folder of all runs. Runs in it that are finished are not repeated; unfinished ones are resumed."},
        {.key = "against",
         .type = path,
         .help = "Another configuration file to compare with, instead of training each task alone. Section options on "
                 "the command line apply to both configurations."},
        {.key = "seeds",
         .type = integer,
         .value = "3",
         .help = "Number of seeds per configuration: run.seed and the seeds that follow it.",
         .allowed = ">=1"},
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
    std::ranges::copy_if(train_options(), std::back_inserter(all),
                         [](const Option& option) { return !option.section.empty(); });
    return all;
  }();
  return table;
}

int run_compare(const Config& config, Communicator& world) {
  if (find_launcher().mpi)
    throw Error(Exit::usage,
                "compare starts the workers of each run itself: run it without mpirun or srun, and use for example "
                "--launcher 'mpirun -n 4'");
  if (config.origin("run.run_dir") == "command line")
    throw Error(Exit::usage, "compare creates a folder for each run: give the folder of all runs with --out DIR");
  const fs::path out = config.path("out");
  const Config mine = configuration(config);
  if (!mine.has("run.data"))
    throw Error(Exit::config, "run.data is not given; add --data DIR, or run.data to the configuration file");
  const Manifest manifest = read_data_set(mine);
  check_runs_end(mine);
  print_notes(mine, manifest);
  Plan plan;
  for (std::int64_t i = 0; i < config.integer("seeds"); ++i)
    plan.seeds.push_back(static_cast<std::uint64_t>(mine.integer("run.seed") + i));
  if (config.has("against"))
    plan_two(plan, config, mine, manifest);
  else
    plan_alone_and_together(plan, config, mine, manifest);
  for (const Run& run : plan.runs)
    for (const char* name : {"config", "against"})
      if (config.has(name))
        check_not_input(run.folder / "run.ini", "--out", config.path(name), fmt::format("--{}", name));
  if (!train_runs(plan, config.has("launcher") ? config.text("launcher") : ""))
    return static_cast<int>(Exit::preempted);

  const std::string split = config.text("split");
  std::vector<Rows> rows;
  for (const Run& run : plan.runs) {
    std::optional<Rows> of_run;
    if (!stop_requested()) of_run = evaluate_run(run, manifest, split, world);
    if (!of_run) {
      say("stopped by a signal before {} was evaluated; the same command resumes from here\n", run.name);
      return static_cast<int>(Exit::preempted);
    }
    rows.push_back(std::move(*of_run));
  }
  std::vector<SeedRows> tasks;
  for (const TaskInfo& info : manifest.tasks) {
    if (!plan.of_first.contains(info.name)) continue;
    SeedRows task{info.name, info.kind, headline_of(info), {}, {}};
    for (const std::size_t run : plan.of_first.at(info.name)) task.first.push_back(rows[run].at(info.name));
    for (const std::size_t run : plan.of_second.at(info.name)) task.second.push_back(rows[run].at(info.name));
    tasks.push_back(std::move(task));
  }
  Comparison comparison = compare_systems(tasks, static_cast<int>(config.integer("draws")));
  comparison.first = plan.first, comparison.second = plan.second;
  comparison.seeds = plan.seeds, comparison.split = split;
  if (config.flag("json"))
    std::puts(json_of(comparison).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  else
    fmt::print("{} against {}: seeds {} to {}, split {}, {} paired draws over samples and seeds\n\n{}", plan.second,
               plan.first, plan.seeds.front(), plan.seeds.back(), split, with_commas(comparison.draws),
               format_comparison(comparison));
  return 0;
}

}  // namespace polyhead
