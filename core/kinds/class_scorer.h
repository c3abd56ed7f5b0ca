// Counts right classes, for the kinds that predict classes.
#pragma once

#include <optional>

#include "core/kinds/scorer.h"
#include "core/metrics/scores.h"

namespace polyhead {

class ClassScorer : public Scorer {
 public:
  explicit ClassScorer(const ScorerSpec& spec);

  void each(const std::function<void(double&)>& use) override;
  // Adds accuracy, macro_f1 and the accuracy of the most frequent class, "majority".
  void add_metrics(std::map<std::string, double>& metrics, double loss) const override;

 protected:
  // predicted: -1 for a word that the model has not seen.
  void add_class(std::int64_t gold, std::int64_t predicted);
  // Returns the row of accuracy of what was added since the last call.
  SampleRow accuracy_row();

  const ScorerSpec& spec() const { return spec_; }
  std::optional<std::int64_t> majority() const { return majority_; }
  const Scores& scores() const { return scores_; }

 private:
  ScorerSpec spec_;
  std::optional<std::int64_t> majority_;  // the most frequent class of train; nullopt: no baseline
  Scores scores_;
  double right_ = 0, scored_ = 0, majority_right_ = 0;
  SampleRow before_;  // what accuracy_row() has returned already
};

}  // namespace polyhead
