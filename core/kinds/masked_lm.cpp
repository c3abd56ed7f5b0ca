// Masked language modelling: the tokens at masked positions.
#include <nlohmann/json.hpp>

#include "core/kinds/frequencies.h"
#include "core/kinds/task_kind.h"
#include "core/kinds/token_scorer.h"

namespace polyhead {
namespace {

class MaskedLmScorer : public TokenScorer {
 public:
  using TokenScorer::TokenScorer;
  std::vector<SampleRow> add(const ScoredSample& sample) override {
    return {add_tokens(sample, sample.slice.masked_tokens)};
  }
};

class MaskedLm : public TaskKind {
 public:
  MaskedLm() : TaskKind({.fills_masks = true}) {}

  std::vector<Metric> metrics(const TaskView&) const override { return token_metrics(); }
  std::unique_ptr<Scorer> scorer(const ScorerSpec& spec) const override {
    return std::make_unique<MaskedLmScorer>(spec);
  }
  // Of the tokens that can be masked.
  std::vector<double> baseline(const TaskView&, const VocabularyView& vocabulary,
                               const TrainSamples& train) const override {
    return unigram(vocabulary.size, train, [&](const SampleFields& sample, std::vector<std::int64_t>& out) {
      sample.input_tokens(out);
      std::erase_if(out, [&](std::int64_t token) { return !vocabulary.maskable(token); });
    });
  }
  Work work(const HeadShape& shape) const override {
    const auto d = static_cast<double>(shape.encoder.dim);
    return {shape.masked * (2 * d * d + d * shape.vocabulary), shape.masked * (6 * d + 2 * shape.vocabulary)};
  }
  // One token per <mask>; null for one that was truncated.
  nlohmann::ordered_json prediction(const PredictionView& view) const override {
    auto tokens = nlohmann::ordered_json::array();
    const std::span<const std::int64_t> ids = view.predicted.ids[view.index];
    std::size_t at = 0;
    for (const bool kept : view.masks)
      tokens.push_back(kept ? nlohmann::ordered_json(view.decode(ids.subspan(at++, 1))) : nullptr);
    return {{"tokens", tokens}};
  }
};

}  // namespace

const TaskKind& masked_lm_kind() {
  static const MaskedLm kind;
  return kind;
}

}  // namespace polyhead
