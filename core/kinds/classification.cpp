// Classification: one label per text.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/kinds/class_scorer.h"
#include "core/kinds/frequencies.h"
#include "core/kinds/pooled_work.h"
#include "core/kinds/task_kind.h"

namespace polyhead {
namespace {

class ClassificationScorer : public ClassScorer {
 public:
  using ClassScorer::ClassScorer;
  std::vector<SampleRow> add(const ScoredSample& sample) override {
    add_class(sample.slice.labels[sample.index], sample.scored.predicted[sample.index]);
    return {accuracy_row()};
  }
  void add_metrics(std::map<std::string, double>& metrics, double loss) const override {
    ClassScorer::add_metrics(metrics, loss);
    metrics["matthews"] = matthews(scores(), std::ssize(spec().task.labels));
  }
};

class Classification : public TaskKind {
 public:
  Classification() : TaskKind({.smooths_labels = true}) {}

  std::vector<Metric> metrics(const TaskView&) const override {
    return {{.key = "accuracy",
             .name = "accuracy",
             .baseline_key = "majority",
             .baseline = "majority class",
             .rows = Metric::Rows::ratio},
            {.key = "macro_f1"},
            {.key = "matthews"}};
  }
  std::unique_ptr<Scorer> scorer(const ScorerSpec& spec) const override {
    return std::make_unique<ClassificationScorer>(spec);
  }
  std::vector<double> baseline(const TaskView& task, const VocabularyView&, const TrainSamples& train) const override {
    return majority_class(task.labels.size(), train,
                          [](const SampleFields& sample, auto& out) { out.push_back(sample.label()); });
  }
  // Class weights n / (C n_c) over the C classes that occur; 1 for the others.
  void add_statistics(const TaskView& task, const HeadOptions& options, const TrainSamples& train,
                      TrainStatistics& out) const override {
    if (options.class_weights != ClassWeights::balanced) return;
    const std::vector<double> counts = count_values(
        task.labels.size(), train, [](const SampleFields& sample, auto& label) { label.push_back(sample.label()); });
    const auto present = static_cast<double>(std::ranges::count_if(counts, [](double count) { return count > 0; }));
    for (const double count : counts)
      out.class_weights.push_back(count > 0 ? static_cast<double>(train.size) / (present * count) : 1);
  }
  Work work(const HeadShape& shape) const override { return pooled_work(shape); }
  nlohmann::ordered_json prediction(const PredictionView& view) const override {
    return {{"label", view.label(view.predicted.ids[view.index][0])},
            {"probability", view.predicted.probability[view.index]}};
  }
};

}  // namespace

const TaskKind& classification_kind() {
  static const Classification kind;
  return kind;
}

}  // namespace polyhead
