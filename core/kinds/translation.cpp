// Translation: a text for a text.
#include <nlohmann/json.hpp>

#include "core/base/as_doubles.h"
#include "core/kinds/frequencies.h"
#include "core/kinds/task_kind.h"
#include "core/kinds/token_scorer.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

class TranslationScorer : public TokenScorer {
 public:
  using TokenScorer::TokenScorer;

  std::vector<SampleRow> add(const ScoredSample& sample) override {
    if (spec().generate) add_texts(sample);
    return {add_tokens(sample, sample.slice.target_tokens)};
  }

  void each(const std::function<void(double&)>& use) override {
    TokenScorer::each(use);
    use(original_);
    for (auto* values : {&bleu_, &copy_bleu_, &chrf_, &copy_chrf_})
      for (double& value : *values) use(value);
  }

  void add_metrics(std::map<std::string, double>& metrics, double loss) const override {
    TokenScorer::add_metrics(metrics, loss);
    if (!spec().generate) return;
    metrics["bleu"] = bleu(bleu_);
    metrics["chrf"] = chrf(chrf_);
    if (spec().features) return;
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
        text ? *text : spec().decode(std::span(sample.slice.target_tokens).subspan(begin, end - begin));
    const std::string hypothesis = spec().decode(sample.generated.ids[sample.index]);
    add_bleu(bleu_, hypothesis, reference);
    add_chrf(chrf_, hypothesis, reference);
    if (spec().features) return;  // there is no source text to copy
    std::vector<std::int64_t> ids;
    sample.stored.input_tokens(ids);
    const auto source_text = sample.stored.input_text();
    const std::string source = source_text ? *source_text : spec().decode(ids);
    add_bleu(copy_bleu_, source, reference);
    add_chrf(copy_chrf_, source, reference);
  }

  double original_ = 0;
  std::vector<double> bleu_ = std::vector<double>(kBleuSums), copy_bleu_ = bleu_;
  std::vector<double> chrf_ = std::vector<double>(kChrfSums), copy_chrf_ = chrf_;
};

class Translation : public TaskKind {
 public:
  Translation()
      : TaskKind({.generates = true, .original_text = true, .smooths_labels = true, .label_smoothing = 0.1}) {}

  std::vector<Metric> metrics(const TaskView&) const override {
    std::vector<Metric> metrics = token_metrics();
    metrics.push_back({.key = "chrf",
                       .name = "chrF",
                       .baseline_key = "copy_chrf",
                       .baseline = "copy of the source",
                       .searched = true,
                       .decimals = 2});
    metrics.push_back({.key = "bleu",
                       .name = "BLEU",
                       .baseline_key = "copy_bleu",
                       .baseline = "copy of the source",
                       .searched = true,
                       .decimals = 2});
    return metrics;
  }
  std::unique_ptr<Scorer> scorer(const ScorerSpec& spec) const override {
    return std::make_unique<TranslationScorer>(spec);
  }
  std::vector<double> baseline(const TaskView&, const VocabularyView& vocabulary,
                               const TrainSamples& train) const override {
    return unigram(vocabulary.size, train, [](const SampleFields& sample, auto& out) { sample.target_tokens(out); });
  }
  Work work(const HeadShape& shape) const override {
    const auto [d, ffn, heads, layers] =
        as_doubles(shape.encoder.dim, shape.encoder.ffn, shape.encoder.heads, shape.head.decoder_layers);
    const double input = shape.input, target = shape.target;
    const double block = 6 * d * d + 2 * d * ffn + 2 * (target + input) * d;
    return {layers * (target * block + input * 2 * d * d) + target * d * shape.vocabulary,
            target * (layers * (16 * d + 2 * ffn + heads * (target + input)) + 3 * d + 2 * shape.vocabulary) +
                input * layers * 3 * d};
  }
  std::string shape_difference(const HeadOptions& a, const HeadOptions& b) const override {
    return a.decoder_layers == b.decoder_layers ? "" : "decoder_layers";
  }
  nlohmann::ordered_json prediction(const PredictionView& view) const override {
    return {{"translation", view.decode(view.predicted.ids[view.index])},
            {"log_probability", view.predicted.values[view.index]}};
  }
};

}  // namespace

const TaskKind& translation_kind() {
  static const Translation kind;
  return kind;
}

}  // namespace polyhead
