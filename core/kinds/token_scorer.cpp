// Accuracy and perplexity of tokens, and the perplexity of their frequencies in train.
#include "core/kinds/token_scorer.h"

#include <algorithm>
#include <cmath>

#include "core/base/grid.h"

namespace polyhead {

SampleRow TokenScorer::add_tokens(const ScoredSample& sample, const std::vector<std::int64_t>& gold) {
  if (sample.index == 0) target_ = 0;
  const auto count = static_cast<std::size_t>(sample.scored.count[sample.index]);
  for (const std::size_t end = target_ + count; target_ < end; ++target_) {
    right_ += gold[target_] == sample.scored.predicted[target_];
    ++scored_;
    if (spec_.baseline != nullptr) unigram_loss_ -= on_grid((*spec_.baseline)[static_cast<std::size_t>(gold[target_])]);
  }
  return {sample.scored.loss[sample.index], static_cast<double>(count)};
}

void TokenScorer::each(const std::function<void(double&)>& use) {
  for (double* value : {&right_, &scored_, &unigram_loss_}) use(*value);
}

void TokenScorer::add_metrics(std::map<std::string, double>& metrics, double loss) const {
  const double all = std::max(1.0, scored_);
  metrics["accuracy"] = right_ / all;
  metrics["perplexity"] = std::exp(loss);
  if (spec_.baseline != nullptr) metrics["unigram_perplexity"] = std::exp(unigram_loss_ / all);
}

std::vector<Metric> token_metrics() {
  return {{.key = "perplexity",
           .lower_is_better = true,
           .name = "perplexity",
           .baseline_key = "unigram_perplexity",
           .baseline = "unigram",
           .rows = Metric::Rows::logarithm,
           .decimals = 2},
          {.key = "accuracy"}};
}

}  // namespace polyhead
