// What the train split alone would predict.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "distributed/description/statistics.h"
#include "distributed/evaluation/evaluation.h"

namespace polyhead {

Baseline train_baseline(const TrainedTask& task, const TokenizerInfo& tokenizer, const SplitReader& train) {
  Baseline baseline;
  if (task.kind == Kind::regression) {
    baseline.constant = train_statistics(task, train).mean;
    return baseline;
  }
  if (task.kind == Kind::multilabel) {
    std::map<std::vector<std::int64_t>, std::uint64_t> sets;
    for (std::uint64_t sample = 0; sample < train.size(); ++sample) {
      std::vector<std::int64_t> labels;
      train.sample(sample).labels(labels);
      ++sets[labels];
    }
    const auto& most = std::ranges::max_element(sets, {}, [](const auto& entry) { return entry.second; })->first;
    baseline.constant.assign(most.begin(), most.end());
    return baseline;
  }
  std::vector<double> count;
  std::vector<std::int64_t> values;
  const bool words = task.kind == Kind::masked_lm || task.kind == Kind::translation;
  count.assign(words ? static_cast<std::size_t>(tokenizer.vocab_size) : task.labels.size(), 0);
  for (std::uint64_t sample = 0; sample < train.size(); ++sample) {
    values.clear();
    switch (task.kind) {
      case Kind::classification:
        values.push_back(train.sample(sample).label());
        break;
      case Kind::tagging:
        train.sample(sample).tags(values);
        break;
      case Kind::masked_lm:
        train.sample(sample).input_tokens(values);
        break;
      case Kind::translation:
        train.sample(sample).target_tokens(values);
        break;
      case Kind::multilabel:
      case Kind::regression:
        break;  // above
    }
    for (const std::int64_t value : values)
      if (value != kIgnore && (task.kind != Kind::masked_lm || maskable(tokenizer, value)))
        ++count[static_cast<std::size_t>(value)];
  }
  baseline.majority = std::ranges::max_element(count) - count.begin();
  if (words) {
    const double total = std::accumulate(count.begin(), count.end(), static_cast<double>(count.size()));
    for (const double c : count) baseline.unigram.push_back(std::log((c + 1) / total));
  }
  return baseline;
}

}  // namespace polyhead
