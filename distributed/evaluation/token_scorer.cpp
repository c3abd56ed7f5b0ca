// Masked language modelling and translation: accuracy and perplexity of tokens; BLEU and chrF of generated texts.
#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "core/base/grid.h"
#include "core/metrics/scores.h"
#include "distributed/evaluation/scorer.h"

namespace polyhead {
namespace {

class TokenScorer : public Scorer {
 public:
  explicit TokenScorer(const ScorerSpec& spec)
      : spec_(spec), generates_(spec.generate && spec.task.kind == Kind::translation) {}

  SampleRows add(const ScoredSample& sample) override {
    if (sample.index == 0) target_ = 0;
    const auto& gold = spec_.task.kind == Kind::masked_lm ? sample.slice.masked_tokens : sample.slice.target_tokens;
    const auto count = static_cast<std::size_t>(sample.scored.count[sample.index]);
    for (const std::size_t end = target_ + count; target_ < end; ++target_) {
      right_ += gold[target_] == sample.scored.predicted[target_];
      ++scored_;
      if (spec_.baseline) unigram_loss_ -= on_grid(spec_.baseline->unigram[static_cast<std::size_t>(gold[target_])]);
    }
    if (generates_) add_texts(sample);
    return {{sample.scored.loss[sample.index], static_cast<double>(count)}, std::nullopt};
  }

  void each(const std::function<void(double&)>& use) override {
    for (double* value : {&right_, &scored_, &unigram_loss_, &original_}) use(*value);
    for (auto* values : {&bleu_, &copy_bleu_, &chrf_, &copy_chrf_})
      for (double& value : *values) use(value);
  }

  void add_metrics(std::map<std::string, double>& metrics, double loss) const override {
    const double all = std::max(1.0, scored_);
    metrics["accuracy"] = right_ / all;
    metrics["perplexity"] = std::exp(loss);
    if (spec_.baseline) metrics["unigram_perplexity"] = std::exp(unigram_loss_ / all);
    if (!generates_) return;
    metrics["bleu"] = bleu(bleu_);
    metrics["chrf"] = chrf(chrf_);
    if (spec_.reader.feature_width() > 0) return;
    metrics["copy_bleu"] = bleu(copy_bleu_);
    metrics["copy_chrf"] = chrf(copy_chrf_);
  }

  bool original_text() const override { return original_ > 0; }

 private:
  void add_texts(const ScoredSample& sample) {
    const auto text = sample.stored.target_text();
    original_ += text.has_value();
    const auto& offsets = sample.slice.target_offsets;
    const auto begin = static_cast<std::size_t>(offsets[sample.index]),
               end = static_cast<std::size_t>(offsets[sample.index + 1]);
    const std::string reference =
        text ? *text : spec_.tokenizer.decode(std::span(sample.slice.target_tokens).subspan(begin, end - begin));
    const std::string hypothesis = spec_.tokenizer.decode(sample.generated.ids[sample.index]);
    add_bleu(bleu_, hypothesis, reference);
    add_chrf(chrf_, hypothesis, reference);
    if (spec_.reader.feature_width() > 0) return;  // there is no source text to copy
    std::vector<std::int64_t> ids;
    sample.stored.input_tokens(ids);
    const auto source_text = sample.stored.input_text();
    const std::string source = source_text ? *source_text : spec_.tokenizer.decode(ids);
    add_bleu(copy_bleu_, source, reference);
    add_chrf(copy_chrf_, source, reference);
  }

  ScorerSpec spec_;
  bool generates_;
  double right_ = 0, scored_ = 0, unigram_loss_ = 0, original_ = 0;
  std::vector<double> bleu_ = std::vector<double>(kBleuSums), copy_bleu_ = bleu_;
  std::vector<double> chrf_ = std::vector<double>(kChrfSums), copy_chrf_ = chrf_;
  std::size_t target_ = 0;  // next target of the batch
};

}  // namespace

std::unique_ptr<Scorer> make_token_scorer(const ScorerSpec& spec) {
  return std::make_unique<TokenScorer>(spec);
}

}  // namespace polyhead
