// Classification and tagging: accuracy, F1 over classes and over entities, and Matthews' correlation.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/metrics/scores.h"
#include "distributed/evaluation/scorer.h"

namespace polyhead {
namespace {

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

class ClassScorer : public Scorer {
 public:
  explicit ClassScorer(const ScorerSpec& spec)
      : spec_(spec),
        classes_(static_cast<std::int64_t>(spec.task.labels.size())),
        bio_(spec.task.kind == Kind::tagging && is_bio(spec.task.labels)) {
    scores_.sums.assign(3 * spec.task.labels.size(), 0);
  }

  SampleRows add(const ScoredSample& sample) override {
    const double right_before = right_, scored_before = scored_;
    const std::vector<double> entities_before = entities_;
    if (spec_.task.kind == Kind::tagging)
      add_tags(sample);
    else
      add_one(sample.slice.labels[sample.index], sample.scored.predicted[sample.index]);
    const SampleRow accuracy{right_ - right_before, scored_ - scored_before};
    if (!bio_) return {accuracy, std::nullopt};
    return {{2 * (entities_[0] - entities_before[0]),
             entities_[1] + entities_[2] - entities_before[1] - entities_before[2]},
            accuracy};
  }

  void each(const std::function<void(double&)>& use) override {
    for (double* value : {&right_, &scored_, &majority_right_, &original_}) use(*value);
    for (auto* values : {&scores_.sums, &entities_, &majority_entities_})
      for (double& value : *values) use(value);
  }

  void add_metrics(std::map<std::string, double>& metrics, double) const override {
    const double all = std::max(1.0, scored_);
    metrics["accuracy"] = right_ / all;
    metrics["macro_f1"] = macro_f1(scores_, classes_);
    if (spec_.task.kind == Kind::classification) metrics["matthews"] = matthews(scores_, classes_);
    if (bio_) metrics["entity_f1"] = entity_f1(entities_);
    if (!spec_.baseline) return;
    metrics["majority"] = majority_right_ / all;
    if (bio_) metrics["majority_entity_f1"] = entity_f1(majority_entities_);
  }

  bool original_text() const override { return original_ > 0; }

 private:
  // predicted: -1 where the model was not shown the word.
  void add_one(std::int64_t gold, std::int64_t predicted) {
    right_ += gold == predicted;
    ++scored_;
    add_prediction(scores_, classes_, gold, predicted);
    if (spec_.baseline) majority_right_ += gold == spec_.baseline->majority;
  }

  void add_tags(const ScoredSample& sample) {
    if (sample.index == 0) target_ = 0;
    std::vector<std::int64_t> gold, predicted;
    const auto add_tag = [&](std::int64_t tag, std::int64_t told) {
      add_one(tag, told);
      gold.push_back(tag);
      predicted.push_back(told);
    };
    for (const auto end = static_cast<std::size_t>(sample.input.segments.offsets[sample.index + 1]); target_ < end;
         ++target_)
      if (const std::int64_t tag = sample.slice.tags[target_]; tag != kIgnore)
        add_tag(tag, sample.scored.predicted[target_]);
    if (const auto text = sample.stored.target_text()) {
      ++original_;
      const std::vector<std::int64_t> whole = tags_of(*text, spec_.task.labels);
      for (std::size_t word = gold.size(); word < whole.size(); ++word) add_tag(whole[word], -1);
    }
    if (!bio_) return;
    add_entities(entities_, gold, predicted, spec_.task.labels);
    if (spec_.baseline)
      add_entities(majority_entities_, gold, std::vector<std::int64_t>(gold.size(), spec_.baseline->majority),
                   spec_.task.labels);
  }

  ScorerSpec spec_;
  std::int64_t classes_;
  bool bio_;
  Scores scores_;
  double right_ = 0, scored_ = 0, majority_right_ = 0, original_ = 0;
  std::vector<double> entities_ = std::vector<double>(kEntitySums), majority_entities_ = entities_;
  std::size_t target_ = 0;  // next row of the batch
};

}  // namespace

std::unique_ptr<Scorer> make_class_scorer(const ScorerSpec& spec) {
  return std::make_unique<ClassScorer>(spec);
}

}  // namespace polyhead
