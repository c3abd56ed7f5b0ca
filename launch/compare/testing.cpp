// Evaluates checkpoints, and reads what training took from the run folder.
#include "launch/compare/testing.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/kinds/registry.h"
#include "core/model/device.h"
#include "datasets/sampling/mixture.h"
#include "distributed/checkpoint/state.h"
#include "distributed/checkpoint/trained.h"
#include "distributed/evaluation/evaluation.h"
#include "launch/host.h"
#include "launch/run_status.h"
#include "launch/signals.h"
#include "launch/threads.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

using Tested = std::map<std::string, TestedTask>;

// Returns a hash of everything that the results depend on.
std::string results_key(const Status& status, const ComparedRun& run, const ComparePlan& plan,
                        const Manifest& manifest) {
  std::string content = fmt::format("{} {} {} {} {}\n", status.parameter_hash, name_of(plan.until), plan.split,
                                    run.config.integer("run.eval_samples"), manifest.tokenizer.sha256);
  for (const std::string& task : run.tasks) {
    content += fmt::format("{} {} {}\n", task, headline_of(manifest.task(task)).key,
                           tested_checkpoint(run.best, task, plan.until));
    for (const std::string& split : {plan.split, std::string("train")})
      for (const ShardInfo& shard : manifest.task(task).splits.at(split).shards)
        content += fmt::format("{} {} {} {}\n", task, shard.file, shard.samples, shard.sha256);
  }
  return to_hex(hash_bytes(content));
}

nlohmann::json json_of(const Tested& tested) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [task, results] : tested)
    json[task] = {{"rows", results.rows},
                  {"train", results.train},
                  {"step", results.step},
                  {"samples", results.samples},
                  {"seconds", results.seconds}};
  return json;
}

// Returns nullopt for a file of other results, and for one that another program has written.
std::optional<Tested> read_results(const fs::path& file, const std::string& key) {
  std::error_code code;
  if (!fs::exists(file, code)) return std::nullopt;
  const auto json = nlohmann::json::parse(read_file(file), nullptr, false);
  try {
    if (json.at("key") != key) return std::nullopt;
    Tested tested;
    for (const auto& [task, results] : json.at("tasks").items()) {
      const auto& seconds = results.at("seconds");
      tested[task] = {results.at("rows").get<std::vector<double>>(), results.at("train").get<std::vector<double>>(),
                      results.at("step").get<std::int64_t>(), results.at("samples").get<std::int64_t>(),
                      seconds.is_null() ? std::nan("") : seconds.get<double>()};
    }
    return tested;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

// Returns the seconds of the training steps 1 to `last`; NaN if the file does not have all of them.
double seconds_to(const fs::path& run_dir, std::int64_t last) {
  std::error_code code;
  const fs::path file = run_dir / "metrics.jsonl";
  std::istringstream text(fs::is_regular_file(file, code) ? read_file(file) : "");
  double seconds = 0;
  std::int64_t seen = 0;
  for (std::string line; std::getline(text, line);) try {
      const auto json = nlohmann::json::parse(line);
      if (json.at("kind") != "step" || json.at("step").get<std::int64_t>() > last) continue;
      seconds += json.at("seconds").get<double>();
      ++seen;
    } catch (const nlohmann::json::exception&) {  // a damaged line, which is then missing
    }
  return seen == last ? seconds : std::numeric_limits<double>::quiet_NaN();
}

// The trained tasks whose checkpoint is the same, and this checkpoint.
struct Loaded {
  TrainedModel trained;
  CheckpointState state;
};

Loaded load(const ComparedRun& run, const std::string& checkpoint, const std::vector<std::string>& tasks,
            Communicator& world) {
  const std::string device = resolve_device(run.config.text("run.device"));
  const auto given = static_cast<int>(run.config.integer("run.threads"));
  const ThreadChoice threads = choose_threads(given, cpus_from_affinity(world), world.size(), device);
  const fs::path run_dir = run.folder / "run";
  Loaded loaded;
  try {
    loaded.trained = load_trained(run_dir, {.checkpoint = checkpoint}, tasks, device, threads.threads);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("the run {} cannot be tested at its {} checkpoint: {}; delete {} to train it "
                                          "again",
                                          run.name, checkpoint, error.what(), run.folder.string()));
  }
  const fs::path file = run_dir / "checkpoints" / checkpoint_name(loaded.trained.step) / "state.json";
  loaded.state = checkpoint_state_from_json(read_file(file), file.string());
  return loaded;
}

// Returns the rows of the task's headline metric; nullopt if a signal ended it.
std::optional<std::vector<double>> rows_of(const TrainedModel& trained, std::size_t index, const SplitReader& reader,
                                           const std::string& split, std::int64_t samples, Communicator& world) {
  const EvaluationRequest request{.samples = samples, .stop = [] { return stop_requested().load(); }};
  Evaluation evaluation =
      evaluate(*trained.model, trained.description, index, split, reader, *trained.tokenizer, request, world);
  if (evaluation.stopped) return std::nullopt;
  const TrainedTask& task = trained.description.tasks[index];
  return std::move(evaluation.rows.at(headline(task.kind, task.view()).key));
}

std::optional<Tested> evaluate_tasks(const ComparedRun& run, const Loaded& loaded, const std::string& split,
                                     const Manifest& manifest, Communicator& world) {
  const TrainedModel& trained = loaded.trained;
  const fs::path data = run.config.path("run.data");
  const double seconds = seconds_to(run.folder / "run", trained.step);
  Tested tested;
  for (const auto& [index, head] : trained.model->heads()) {
    const TaskInfo& info = manifest.task(trained.description.tasks[index].name);
    const auto rows = rows_of(trained, index, SplitReader(data, manifest, info, split), split, 0, world);
    if (!rows) return std::nullopt;
    const auto train = rows_of(trained, index, SplitReader(data, manifest, info, "train"), "train",
                               run.config.integer("run.eval_samples"), world);
    if (!train) return std::nullopt;
    const auto [first, count] = positions(loaded.state.mixture, index, trained.step);
    tested[info.name] = {*rows, *train, trained.step, static_cast<std::int64_t>(first) + count, seconds};
  }
  return tested;
}

}  // namespace

Metric headline_of(const TaskInfo& task) {
  return headline(task.kind, {task.labels, task.outputs});
}

std::optional<std::map<std::string, TestedTask>> test_run(const ComparedRun& run, const ComparePlan& plan,
                                                          const Manifest& manifest, Communicator& world) {
  const Status status = read_status(run.folder / "run").value();
  const fs::path file = run.folder / (plan.split + ".rows.json");
  const std::string key = results_key(status, run, plan, manifest);
  if (auto known = read_results(file, key)) return known;
  std::map<std::string, std::vector<std::string>> by_checkpoint;
  for (const std::string& task : run.tasks)
    by_checkpoint[tested_checkpoint(run.best, task, plan.until)].push_back(task);
  Tested tested;
  for (const auto& [checkpoint, tasks] : by_checkpoint) {
    const Loaded loaded = load(run, checkpoint, tasks, world);
    if (plan.until == Until::steps && loaded.trained.step != status.step)
      throw Error(Exit::data,
                  fmt::format("the run {} was trained to step {}, but that checkpoint is damaged ({}); delete "
                              "{} to train it again",
                              run.name, status.step, fmt::join(loaded.trained.warnings, "; "), run.folder.string()));
    auto some = evaluate_tasks(run, loaded, plan.split, manifest, world);
    if (!some) return std::nullopt;
    tested.merge(*some);
  }
  write_file_atomically(file, nlohmann::json{{"key", key}, {"tasks", json_of(tested)}}.dump() + "\n");
  return tested;
}

}  // namespace polyhead
