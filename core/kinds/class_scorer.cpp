// Accuracy and F1 over classes.
#include "core/kinds/class_scorer.h"

#include <algorithm>

namespace polyhead {

ClassScorer::ClassScorer(const ScorerSpec& spec) : spec_(spec) {
  scores_.sums.assign(3 * spec.task.labels.size(), 0);
  if (spec.baseline != nullptr) majority_ = static_cast<std::int64_t>(spec.baseline->front());
}

void ClassScorer::each(const std::function<void(double&)>& use) {
  for (double* value : {&right_, &scored_, &majority_right_}) use(*value);
  for (double& value : scores_.sums) use(value);
}

void ClassScorer::add_metrics(std::map<std::string, double>& metrics, double) const {
  const double all = std::max(1.0, scored_);
  metrics["accuracy"] = right_ / all;
  metrics["macro_f1"] = macro_f1(scores_, std::ssize(spec_.task.labels));
  if (majority_) metrics["majority"] = majority_right_ / all;
}

void ClassScorer::add_class(std::int64_t gold, std::int64_t predicted) {
  right_ += gold == predicted;
  ++scored_;
  add_prediction(scores_, std::ssize(spec_.task.labels), gold, predicted);
  if (majority_) majority_right_ += gold == *majority_;
}

SampleRow ClassScorer::accuracy_row() {
  const SampleRow row{right_ - before_.numerator, scored_ - before_.denominator};
  before_ = {right_, scored_};
  return row;
}

}  // namespace polyhead
