// Accuracy and perplexity of tokens, for the kinds that predict tokens.
#pragma once

#include "core/kinds/scorer.h"
#include "core/kinds/task_kind.h"

namespace polyhead {

class TokenScorer : public Scorer {
 public:
  explicit TokenScorer(const ScorerSpec& spec) : spec_(spec) {}

  void each(const std::function<void(double&)>& use) override;
  // Adds accuracy, perplexity and that of the tokens' frequencies, "unigram_perplexity".
  void add_metrics(std::map<std::string, double>& metrics, double loss) const override;

 protected:
  // gold: the targets of all samples of the batch, in their order. Returns the row of the log-perplexity.
  SampleRow add_tokens(const ScoredSample& sample, const std::vector<std::int64_t>& gold);
  const ScorerSpec& spec() const { return spec_; }

 private:
  ScorerSpec spec_;
  double right_ = 0, scored_ = 0, unigram_loss_ = 0;
  std::size_t target_ = 0;  // next target of the batch
};

// The perplexity, which is the headline metric, and the accuracy.
std::vector<Metric> token_metrics();

}  // namespace polyhead
