// `polyhead evaluate`: computes a run's metrics on a split, and compares them with predictions from the train split
// alone.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/kinds/registry.h"
#include "core/metrics/scores.h"
#include "datasets/import/unknown_tokens.h"
#include "distributed/evaluation/evaluation.h"
#include "launch/commands/commands.h"
#include "launch/say.h"
#include "launch/table.h"

namespace polyhead {
namespace {

constexpr int kDraws = 1000;  // number of bootstrap draws
constexpr std::uint64_t kDrawSeed = 1;

// Returns the task of the manifest. Throws Error(data) unless it is still the one that the model was trained for.
const TaskInfo& same_task(const Manifest& manifest, const TrainedTask& trained, const std::string& data) {
  const TaskInfo& info = manifest.task(trained.name);
  if (info.kind != trained.kind || info.labels != trained.labels || info.outputs != trained.outputs)
    throw Error(
        Exit::data,
        fmt::format(
            "task {}: the data set {} gives it another kind or other labels than the model was trained with; give "
            "the data set of the run with --data",
            trained.name, data));
  return info;
}

// The evaluation of a task as a line of JSON and as rows of the table: one for each metric that is shown there.
struct ShownEvaluation {
  nlohmann::json json;
  std::vector<TaskResult> rows;
};

ShownEvaluation show(const TrainedTask& task, const Evaluation& evaluation) {
  ShownEvaluation shown{evaluation.metrics, {}};
  shown.json["samples"] = evaluation.samples;
  for (const Metric& metric : metrics_of(task.kind, task.view())) {
    const auto value = evaluation.metrics.find(metric.key);
    if (metric.name.empty() || value == evaluation.metrics.end()) continue;
    TaskResult& row = shown.rows.emplace_back();
    row.task = task.name;
    row.kind = name_of(task.kind);
    row.samples = evaluation.samples;
    row.metric = metric.name;
    row.value = value->second;
    row.lower_is_better = metric.lower_is_better;
    row.decimals = metric.decimals;
    if (const auto found = evaluation.metrics.find(metric.baseline_key); found != evaluation.metrics.end()) {
      row.baseline = metric.baseline;
      row.baseline_value = found->second;
    }
    if (metric.rows == Metric::Rows::none) continue;
    const auto rows = evaluation.rows.find(metric.key);
    const Interval interval = bootstrap_interval(rows == evaluation.rows.end() ? std::vector<double>() : rows->second,
                                                 kDraws, kDrawSeed, metric.rows == Metric::Rows::logarithm);
    row.has_interval = true;
    row.low = interval.low;
    row.high = interval.high;
    shown.json[metric.key + "_low"] = interval.low;
    shown.json[metric.key + "_high"] = interval.high;
  }
  return shown;
}

// Warns on stderr if many tokens of the evaluated samples are unknown.
void warn_of_unknown(const TaskInfo& info, const std::string& split, const SplitReader& reader,
                     const TrainedModel& trained, std::uint64_t at_most) {
  if (reader.feature_width() > 0) return;
  UnknownTokens unknown;
  std::vector<std::int64_t> tokens;
  for (const std::uint64_t sample : evaluation_samples(info.name, split, reader.size(), at_most)) {
    tokens.clear();
    reader.sample(sample).input_tokens(tokens);
    unknown.add(*trained.tokenizer, trained.description.tokenizer, tokens,
                reader.sample(sample).input_text().value_or(""), fmt::format("sample {}", sample));
  }
  if (const std::string warning = unknown.warning(fmt::format("task '{}' in {}", info.name, split)); !warning.empty())
    say("polyhead evaluate: warning: {}\n", warning);
}

}  // namespace

int run_evaluate(const Config& config, Communicator& world) {
  if (!config.has("run-dir")) throw Error(Exit::usage, "--run-dir DIR is not given: the folder of a run");
  const TrainedModel trained = load_run("evaluate", config, config.list("tasks"), world);
  const std::filesystem::path data =
      config.has("data") ? config.path("data") : std::filesystem::path(trained.description.data);
  std::error_code code;
  if (!config.has("data") && !std::filesystem::exists(data / "dataset.json", code))
    throw Error(Exit::data, fmt::format("there is no data set in {}, on which the run {} was trained; if it has "
                                        "moved, give the new place with --data DIR",
                                        data.string(), config.path("run-dir").string()));
  const Manifest manifest = read_manifest(data);
  const TokenizerInfo& here = trained.description.tokenizer;
  if (!same_tokenizer(manifest.tokenizer, here))
    throw Error(Exit::data,
                fmt::format("the data set {} has another tokenizer than the model was trained with, so its tokens mean "
                            "other words; give the data set of the run with --data, or import with dataset.vocab = {}",
                            data.string(), (config.path("run-dir") / here.file).string()));
  const EncoderOptions& encoder = trained.description.encoder;
  check_length(encoder, manifest.max_length,
               fmt::format("the data set {} was imported with max_length = {}", data.string(), manifest.max_length),
               fmt::format("import it with dataset.max_length = {} or less", encoder.positions));
  const std::string split = config.text("split");

  nlohmann::json tasks = nlohmann::json::object();
  std::vector<TaskResult> rows;
  std::string notes;
  std::map<std::size_t, AttentionSums> attention;
  for (const auto& [index, head] : trained.model->heads()) {
    const TrainedTask& task = trained.description.tasks[index];
    const TaskInfo& info = same_task(manifest, task, data.string());
    const auto found = info.splits.find(split);
    if (found == info.splits.end() || found->second.samples == 0) {
      notes += fmt::format("{}: the data set has no {} samples\n", task.name, split);
      continue;
    }
    const Baseline baseline = train_baseline(task, manifest.tokenizer, SplitReader(data, manifest, info, "train"));
    const SplitReader reader(data, manifest, info, split);
    const EvaluationRequest request{.samples = config.integer("samples"),
                                    .generate = true,
                                    .search = search_options(config),
                                    .baseline = &baseline};
    const Evaluation evaluation =
        evaluate(*trained.model, trained.description, index, split, reader, *trained.tokenizer, request, world);
    attention[index] = evaluation.attention;
    warn_of_unknown(info, split, reader, trained, static_cast<std::uint64_t>(request.samples));
    ShownEvaluation shown = show(task, evaluation);
    tasks[task.name] = std::move(shown.json);
    for (TaskResult& row : shown.rows) rows.push_back(std::move(row));
    if (!evaluation.original_text && task_kind(task.kind).traits().original_text)
      notes += fmt::format("{}: the data set keeps no original text of {}: scored against the decoded tokens\n",
                           task.name, split);
  }
  if (tasks.empty())
    throw Error(Exit::config, fmt::format("none of the tasks has {} samples in the data set {}; choose another with "
                                          "--split, for example --split {}",
                                          split, data.string(), split == "valid" ? "train" : "valid"));
  nlohmann::json out = {{"split", split}, {"step", trained.step}, {"tasks", tasks}};
  std::string focus;
  if (trained.model->encoder().learned_weights()) {
    std::vector<std::string> names;
    for (const TrainedTask& task : trained.description.tasks) names.push_back(task.name);
    const AttentionReport report = attention_report(trained.model->encoder(), attention, names);
    out["attention"] = nlohmann::json::parse(to_json(report));
    focus = fmt::format("\ntask attention\n\n{}\n", format_attention(report));
  }
  if (config.flag("json"))
    std::puts(out.dump().c_str());
  else
    fmt::print("{} after step {}, split {}\n\n{}{}{}", config.path("run-dir").string(), trained.step, split,
               format_results(rows), notes, focus);
  return 0;
}

}  // namespace polyhead
