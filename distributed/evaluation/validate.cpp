// See validate.h.
#include "distributed/evaluation/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "datasets/import/import_plan.h"
#include "distributed/evaluation/evaluation.h"

namespace polyhead {
namespace {

// JSON has null for a number that is not finite.
double number(const nlohmann::json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

}  // namespace

ValidationRound validate(const Model& model, const ModelDescription& description, const ValidationTasks& tasks,
                         const Tokenizer& tokenizer, std::int64_t samples, const std::function<bool()>& stop,
                         Communicator& world) {
  nlohmann::json mine = nlohmann::json::object();
  std::vector<AttentionSums> attention(description.tasks.size());
  bool stopped = false;  // a member of one of this worker's groups has received a signal
  const EvaluationRequest request{
      .samples = samples, .generate = false, .baseline = nullptr, .stop = [&] { return stopped || stop(); }};
  for (const auto& [task, reader] : tasks.readers) {
    const Evaluation evaluation =
        evaluate(model, description, task, "valid", *reader, tokenizer, request, *tasks.groups[task]);
    stopped = stopped || evaluation.stopped;
    if (stopped || std::ranges::find(tasks.led, task) == tasks.led.end()) continue;
    mine[description.tasks[task].name] = evaluation.metrics;
    attention[task] = evaluation.attention;
  }
  const auto all = world.all_gather_strings("evaluate.results", mine.dump());
  std::vector<double> flat;
  for (AttentionSums& sums : attention) sums.each([&](double value) { flat.push_back(value); });
  flat.push_back(stopped ? 1 : 0);
  world.all_reduce("evaluate.attention", flat);

  ValidationRound round;
  round.stopped = flat.back() > 0;
  if (round.stopped) return round;
  std::size_t at = 0;
  for (std::size_t i = 0; i < attention.size(); ++i) {
    attention[i].each([&](double& value) { value = flat[at++]; });
    if (attention[i].words > 0) round.attention[i] = attention[i];
  }
  for (const std::string& text : all) {
    const auto theirs = nlohmann::json::parse(text);
    for (const auto& task : theirs.items())
      for (const auto& metric : task.value().items()) round.results[task.key()][metric.key()] = number(metric.value());
  }
  return round;
}

std::string describe_valid(const Manifest& manifest, const std::vector<std::string>& tasks, std::int64_t samples) {
  if (samples == 0) return "";
  std::string larger;
  for (const std::string& name : tasks) {
    const auto& splits = manifest.task(name).splits;
    const auto valid = splits.find("valid");
    if (valid == splits.end() || valid->second.samples <= static_cast<std::uint64_t>(samples)) continue;
    larger += fmt::format("{}{} ({})", larger.empty() ? "" : ", ", name, with_commas(valid->second.samples));
  }
  if (larger.empty()) return "";
  return fmt::format(
      "evaluations use {} samples of valid, the same ones each time and spread over the split, of {}; run.eval_samples "
      "= 0 uses all",
      with_commas(samples), larger);
}

}  // namespace polyhead
