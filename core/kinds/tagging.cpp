// Tagging: one label per word.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/kinds/class_scorer.h"
#include "core/kinds/frequencies.h"
#include "core/kinds/task_kind.h"

namespace polyhead {
namespace {

// Returns the tags of a text in which they are separated by spaces.
std::vector<std::int64_t> tags_of(const std::string& text, const std::vector<std::string>& labels) {
  std::vector<std::int64_t> tags;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text.find(' ', at);
    if (end == std::string::npos) end = text.size();
    if (end > at) {
      const auto label = std::ranges::find(labels, text.substr(at, end - at));
      if (label != labels.end()) tags.push_back(label - labels.begin());
    }
    at = end + 1;
  }
  return tags;
}

class TaggingScorer : public ClassScorer {
 public:
  explicit TaggingScorer(const ScorerSpec& spec) : ClassScorer(spec), bio_(is_bio(spec.task.labels)) {}

  std::vector<SampleRow> add(const ScoredSample& sample) override {
    std::vector<std::int64_t> gold, predicted;
    const auto add_tag = [&](std::int64_t tag, std::int64_t found) {
      add_class(tag, found);
      gold.push_back(tag);
      predicted.push_back(found);
    };
    const auto row = [&](std::size_t sequence) { return static_cast<std::size_t>(sample.offsets[sequence]); };
    for (std::size_t i = row(sample.index); i < row(sample.index + 1); ++i)
      if (sample.slice.tags[i] != kIgnore) add_tag(sample.slice.tags[i], sample.scored.predicted[i]);
    if (const auto text = sample.stored.target_text()) {
      ++original_;
      const std::vector<std::int64_t> whole = tags_of(*text, spec().task.labels);
      for (std::size_t word = gold.size(); word < whole.size(); ++word) add_tag(whole[word], -1);
    }
    if (!bio_) return {accuracy_row()};
    std::vector<double> sums(kEntitySums);
    add_entities(sums, gold, predicted, spec().task.labels);
    for (std::size_t i = 0; i < sums.size(); ++i) entities_[i] += sums[i];
    if (majority())
      add_entities(majority_entities_, gold, std::vector<std::int64_t>(gold.size(), *majority()), spec().task.labels);
    return {{2 * sums[0], sums[1] + sums[2]}, accuracy_row()};
  }

  void each(const std::function<void(double&)>& use) override {
    ClassScorer::each(use);
    use(original_);
    for (auto* values : {&entities_, &majority_entities_})
      for (double& value : *values) use(value);
  }

  void add_metrics(std::map<std::string, double>& metrics, double loss) const override {
    ClassScorer::add_metrics(metrics, loss);
    if (!bio_) return;
    metrics["entity_f1"] = entity_f1(entities_);
    if (majority()) metrics["majority_entity_f1"] = entity_f1(majority_entities_);
  }

  bool original_text() const override { return original_ > 0; }

 private:
  bool bio_;
  double original_ = 0;
  std::vector<double> entities_ = std::vector<double>(kEntitySums), majority_entities_ = entities_;
};

class Tagging : public TaskKind {
 public:
  Tagging() : TaskKind({.original_text = true}) {}

  std::vector<Metric> metrics(const TaskView& task) const override {
    std::vector<Metric> metrics = {{.key = "accuracy",
                                    .name = "accuracy",
                                    .baseline_key = "majority",
                                    .baseline = "majority class",
                                    .rows = Metric::Rows::ratio},
                                   {.key = "macro_f1"}};
    if (is_bio(task.labels))
      metrics.insert(metrics.begin(), {.key = "entity_f1",
                                       .name = "entity F1",
                                       .baseline_key = "majority_entity_f1",
                                       .baseline = "majority class",
                                       .rows = Metric::Rows::ratio});
    return metrics;
  }
  std::unique_ptr<Scorer> scorer(const ScorerSpec& spec) const override {
    return std::make_unique<TaggingScorer>(spec);
  }
  std::vector<double> baseline(const TaskView& task, const VocabularyView&, const TrainSamples& train) const override {
    return majority_class(task.labels.size(), train, [](const SampleFields& sample, auto& out) { sample.tags(out); });
  }
  Work work(const HeadShape& shape) const override {
    const auto d = static_cast<double>(shape.encoder.dim);
    return {shape.input * (d * d + d * shape.classes), shape.input * (3 * d + 2 * shape.classes)};
  }
  // One tag per word; null for a word that was truncated.
  nlohmann::ordered_json prediction(const PredictionView& view) const override {
    auto tags = nlohmann::ordered_json::array();
    for (const std::int64_t row : view.first_piece)
      tags.push_back(row < 0 ? nlohmann::ordered_json()
                             : view.label(view.predicted.ids[view.index][static_cast<std::size_t>(row)]));
    while (tags.size() < view.words) tags.push_back(nullptr);
    return {{"tags", tags}};
  }
};

}  // namespace

const TaskKind& tagging_kind() {
  static const Tagging kind;
  return kind;
}

}  // namespace polyhead
