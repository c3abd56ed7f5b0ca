// Span: the answer to a question, as a part of a text (extractive question answering).
#include <algorithm>
#include <string_view>

#include <nlohmann/json.hpp>

#include "core/base/grid.h"
#include "core/kinds/task_kind.h"
#include "core/metrics/answers.h"

namespace polyhead {
namespace {

// Mean scores of answers.
struct AnswerSums {
  double exact_match = 0, f1 = 0;

  void add(const AnswerScore& score) {
    exact_match += score.exact_match;
    f1 += on_grid(score.f1);
  }
};

// Returns the references, which data sets separate by line ends.
std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

class SpanScorer : public Scorer {
 public:
  explicit SpanScorer(const ScorerSpec& spec) : spec_(spec) {}

  std::vector<SampleRow> add(const ScoredSample& sample) override {
    std::vector<std::int64_t> tokens;
    sample.stored.input_tokens(tokens);
    const auto text = [&](std::int64_t first, std::int64_t last) -> std::string {
      if (first < 0) return "";  // max_length cut the answer off
      const auto from = static_cast<std::size_t>(first), to = static_cast<std::size_t>(last);
      const auto kept = sample.stored.text_of(from, to);
      return kept ? *kept : spec_.decode(std::span(tokens).subspan(from, to - from + 1));
    };
    const std::size_t i = sample.index;
    const auto original = sample.stored.target_text();
    original_ += original.has_value();
    const std::vector<std::string> references =
        original ? lines_of(*original)
                 : std::vector<std::string>{text(sample.slice.span_begin[i], sample.slice.span_end[i])};
    const AnswerScore score =
        score_answer(text(sample.scored.predicted[2 * i], sample.scored.predicted[2 * i + 1]), references);
    sums_.add(score);
    ++samples_;
    if (spec_.baseline != nullptr)
      context_.add(score_answer(text(sample.slice.context_begin[i], std::ssize(tokens) - 1), references));
    return {{score.f1, 1}, {score.exact_match, 1}};
  }

  void each(const std::function<void(double&)>& use) override {
    for (double* value : {&samples_, &original_, &sums_.exact_match, &sums_.f1, &context_.exact_match, &context_.f1})
      use(*value);
  }

  void add_metrics(std::map<std::string, double>& metrics, double) const override {
    const double all = std::max(1.0, samples_);
    metrics["f1"] = sums_.f1 / all;
    metrics["exact_match"] = sums_.exact_match / all;
    if (spec_.baseline == nullptr) return;
    metrics["context_f1"] = context_.f1 / all;
    metrics["context_exact_match"] = context_.exact_match / all;
  }

  bool original_text() const override { return original_ > 0; }

 private:
  ScorerSpec spec_;
  double samples_ = 0, original_ = 0;
  AnswerSums sums_, context_;  // of the predictions, and of whole contexts
};

class Span : public TaskKind {
 public:
  Span() : TaskKind({.original_text = true}) {}

  std::vector<Metric> metrics(const TaskView&) const override {
    return {{.key = "f1",
             .name = "F1",
             .baseline_key = "context_f1",
             .baseline = "whole context",
             .rows = Metric::Rows::ratio},
            {.key = "exact_match",
             .name = "exact match",
             .baseline_key = "context_exact_match",
             .baseline = "whole context",
             .rows = Metric::Rows::ratio}};
  }
  std::unique_ptr<Scorer> scorer(const ScorerSpec& spec) const override { return std::make_unique<SpanScorer>(spec); }
  // The baseline answers with the whole context, which needs nothing from train.
  std::vector<double> baseline(const TaskView&, const VocabularyView&, const TrainSamples&) const override {
    return {};
  }
  Work work(const HeadShape& shape) const override {
    const auto d = static_cast<double>(shape.encoder.dim);
    return {shape.input * (d * d + 2 * d), shape.input * (3 * d + 4)};
  }
  nlohmann::ordered_json prediction(const PredictionView& view) const override {
    const std::vector<std::int64_t>& rows = view.predicted.ids[view.index];
    const TextRange range = view.range(rows.at(0), rows.at(1));
    return {{"text", range.text},
            {"start", range.begin},
            {"end", range.end},
            {"probability", view.predicted.probability[view.index]}};
  }
};

}  // namespace

const TaskKind& span_kind() {
  static const Span kind;
  return kind;
}

}  // namespace polyhead
