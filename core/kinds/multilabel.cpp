// Multilabel: any number of labels per text.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/kinds/pooled_work.h"
#include "core/kinds/table_scorer.h"
#include "core/kinds/task_kind.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

class MultilabelScorer : public TableScorer {
 public:
  explicit MultilabelScorer(const ScorerSpec& spec) : TableScorer(spec, spec.task.labels.size()) {}

  std::vector<SampleRow> add(const ScoredSample& sample) override {
    const std::vector<double> gold = row_of(sample.slice.labels, sample.index, width()),
                              probability = row_of(sample.scored.values, sample.index, width());
    add_row(sample, gold, probability);
    SampleRow row;
    for (std::size_t c = 0; c < width(); ++c) {
      const double predicted = probability[c] >= kThreshold ? 1 : 0;
      row.numerator += 2 * gold[c] * predicted;
      row.denominator += gold[c] + predicted;
    }
    return {row};
  }

  void add_metrics(std::map<std::string, double>& metrics, double) const override {
    const std::vector<double> gold = this->gold();
    const MultilabelMetrics values = multilabel_metrics(gold, predicted(), width());
    metrics["micro_f1"] = values.micro_f1;
    metrics["macro_f1"] = values.macro_f1;
    metrics["average_precision"] = values.average_precision;
    metrics["subset_accuracy"] = values.subset_accuracy;
    if (!has_baseline()) return;
    metrics["majority_micro_f1"] = multilabel_metrics(gold, constant(), width()).micro_f1;
    metrics["prior_average_precision"] =
        multilabel_metrics(gold, std::vector<double>(gold.size(), 0), width()).average_precision;
  }
};

class Multilabel : public TaskKind {
 public:
  std::vector<Metric> metrics(const TaskView&) const override {
    return {{.key = "micro_f1",
             .name = "micro F1",
             .baseline_key = "majority_micro_f1",
             .baseline = "most frequent set",
             .rows = Metric::Rows::ratio},
            {.key = "macro_f1"},
            {.key = "average_precision",
             .name = "average precision",
             .baseline_key = "prior_average_precision",
             .baseline = "prior"},
            {.key = "subset_accuracy"}};
  }
  std::unique_ptr<Scorer> scorer(const ScorerSpec& spec) const override {
    return std::make_unique<MultilabelScorer>(spec);
  }
  // The most frequent label set, [classes] of 0 and 1; of equally frequent ones the first in order.
  std::vector<double> baseline(const TaskView&, const VocabularyView&, const TrainSamples& train) const override {
    std::map<std::vector<std::int64_t>, std::uint64_t> sets;
    train.each([&](const SampleFields& sample) {
      std::vector<std::int64_t> labels;
      sample.labels(labels);
      ++sets[labels];
    });
    const auto& most = std::ranges::max_element(sets, {}, [](const auto& entry) { return entry.second; })->first;
    return {most.begin(), most.end()};
  }
  Work work(const HeadShape& shape) const override { return pooled_work(shape); }
  nlohmann::ordered_json prediction(const PredictionView& view) const override {
    auto labels = nlohmann::ordered_json::array(), probabilities = nlohmann::ordered_json::object();
    for (const std::int64_t id : view.predicted.ids[view.index]) labels.push_back(view.label(id));
    const std::vector<std::string>& names = view.task.labels;
    for (std::size_t c = 0; c < names.size(); ++c)
      probabilities[names[c]] = view.predicted.values[view.index * names.size() + c];
    return {{"labels", labels}, {"probabilities", probabilities}};
  }
};

}  // namespace

const TaskKind& multilabel_kind() {
  static const Multilabel kind;
  return kind;
}

}  // namespace polyhead
