// Regression: one or more numbers per text.
#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "core/kinds/pooled_work.h"
#include "core/kinds/table_scorer.h"
#include "core/kinds/task_kind.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

std::size_t outputs_of(const TaskView& task) {
  return std::max<std::size_t>(1, task.outputs.size());
}

class RegressionScorer : public TableScorer {
 public:
  explicit RegressionScorer(const ScorerSpec& spec) : TableScorer(spec, outputs_of(spec.task)) {}

  std::vector<SampleRow> add(const ScoredSample& sample) override {
    const std::vector<double> gold = row_of(sample.slice.values, sample.index, width()),
                              predicted = row_of(sample.scored.values, sample.index, width());
    add_row(sample, gold, predicted);
    SampleRow row;
    for (std::size_t k = 0; k < width(); ++k) {
      const double error = gold[k] - predicted[k];
      row.numerator += error * error;
      row.denominator += 1;
    }
    return {row};
  }

  void add_metrics(std::map<std::string, double>& metrics, double) const override {
    const std::vector<double> gold = this->gold();
    const RegressionMetrics values = regression_metrics(gold, predicted(), width());
    metrics["mse"] = values.mse;
    metrics["mae"] = values.mae;
    metrics["r2"] = values.r2;
    metrics["pearson"] = values.pearson;
    metrics["spearman"] = values.spearman;
    if (has_baseline()) metrics["mean_mse"] = regression_metrics(gold, constant(), width()).mse;
  }
};

// Means and deviations of the outputs: population, in double, summed in the order of the samples.
void standardise(std::size_t outputs, const TrainSamples& train, TrainStatistics& out) {
  const auto samples = static_cast<double>(std::max<std::uint64_t>(1, train.size));
  std::vector<double> values;
  const auto each = [&](const auto& use) {
    train.each([&](const SampleFields& sample) {
      values.clear();
      sample.values(values);
      for (std::size_t k = 0; k < outputs; ++k) use(k, values[k]);
    });
  };
  out.mean.assign(outputs, 0);
  out.deviation.assign(outputs, 0);
  each([&](std::size_t k, double value) { out.mean[k] += value; });
  for (double& mean : out.mean) mean /= samples;
  each([&](std::size_t k, double value) { out.deviation[k] += (value - out.mean[k]) * (value - out.mean[k]); });
  for (double& deviation : out.deviation) deviation = deviation > 0 ? std::sqrt(deviation / samples) : 1;
}

class Regression : public TaskKind {
 public:
  std::vector<Metric> metrics(const TaskView&) const override {
    return {{.key = "mse",
             .lower_is_better = true,
             .name = "mean squared error",
             .baseline_key = "mean_mse",
             .baseline = "mean",
             .rows = Metric::Rows::ratio},
            {.key = "mae", .lower_is_better = true},
            {.key = "r2"},
            {.key = "pearson", .name = "Pearson"},
            {.key = "spearman", .name = "Spearman"}};
  }
  std::unique_ptr<Scorer> scorer(const ScorerSpec& spec) const override {
    return std::make_unique<RegressionScorer>(spec);
  }
  // The means, [outputs].
  std::vector<double> baseline(const TaskView& task, const VocabularyView&, const TrainSamples& train) const override {
    TrainStatistics statistics;
    standardise(outputs_of(task), train, statistics);
    return statistics.mean;
  }
  // Means and deviations; the deviation of an output that is constant is 1.
  void add_statistics(const TaskView& task, const HeadOptions&, const TrainSamples& train,
                      TrainStatistics& out) const override {
    standardise(outputs_of(task), train, out);
  }
  Work work(const HeadShape& shape) const override { return pooled_work(shape); }
  nlohmann::ordered_json prediction(const PredictionView& view) const override {
    const std::vector<std::string>& names = view.task.outputs;
    if (names.empty()) return {{"value", view.predicted.values[view.index]}};
    nlohmann::ordered_json values;
    for (std::size_t k = 0; k < names.size(); ++k)
      values[names[k]] = view.predicted.values[view.index * names.size() + k];
    return {{"values", values}};
  }
};

}  // namespace

const TaskKind& regression_kind() {
  static const Regression kind;
  return kind;
}

}  // namespace polyhead
