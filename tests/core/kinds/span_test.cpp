// Scores of extracted answers, with and without the original texts.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/kinds/registry.h"

namespace polyhead {
namespace {

const std::vector<std::string> kWords = {"", "when", "?", "The", "bridge", "of", "1393", "fell", "in", "1945", ""},
                               kNone;

// bos, question, context, eos: each token is the number of its word.
struct Question final : SampleFields {
  explicit Question(bool texts) : texts_(texts) {}
  std::uint64_t index() const override { return 0; }
  void input_tokens(std::vector<std::int64_t>& out) const override {
    for (std::size_t i = 0; i < kWords.size(); ++i) out.push_back(static_cast<std::int64_t>(i));
  }
  void target_tokens(std::vector<std::int64_t>&) const override {}
  void tags(std::vector<std::int64_t>&) const override {}
  std::int64_t label() const override { return 0; }
  void labels(std::vector<std::int64_t>&) const override {}
  void values(std::vector<double>&) const override {}
  std::optional<std::string> text_of(std::uint64_t first, std::uint64_t last) const override {
    return texts_ ? std::optional(fmt::format("({})!", words(first, last))) : std::nullopt;
  }
  std::optional<std::string> input_text() const override { return texts_ ? std::optional(words(3, 9)) : std::nullopt; }
  std::optional<std::string> target_text() const override {
    return texts_ ? std::optional<std::string>("in the year 1945\n1945") : std::nullopt;
  }
  static std::string words(std::uint64_t first, std::uint64_t last) {
    std::string out;
    for (std::uint64_t i = first; i <= last; ++i) out += (out.empty() ? "" : " ") + kWords[i];
    return out;
  }

 private:
  bool texts_;
};

// The metrics of the answer [first, last] where [8, 9], "in 1945", is right.
std::map<std::string, double> metrics_of_answer(bool texts, std::int64_t first, std::int64_t last,
                                                bool cut_off = false) {
  const std::vector<double> baseline;
  const auto scorer = make_scorer(Kind::span, {.task = {kNone, kNone},
                                               .decode =
                                                   [](std::span<const std::int64_t> tokens) {
                                                     return Question::words(static_cast<std::uint64_t>(tokens.front()),
                                                                            static_cast<std::uint64_t>(tokens.back()));
                                                   },
                                               .baseline = &baseline});
  TaskSlice slice;
  slice.context_begin = {3};
  slice.span_begin = {cut_off ? kIgnore : 8};
  slice.span_end = {cut_off ? kIgnore : 9};
  const Scored scored{.loss = {0}, .count = {1}, .predicted = {first, last}};
  const Predicted none;
  const std::vector<std::int64_t> offsets = {0, std::ssize(kWords)};
  const Question question(texts);
  const auto rows = scorer->add({0, question, slice, offsets, scored, none});
  EXPECT_EQ(scorer->original_text(), texts);
  std::map<std::string, double> metrics;
  scorer->add_metrics(metrics, 0);
  EXPECT_NEAR(metrics.at("f1"), rows.at(0).numerator, 1e-9);
  EXPECT_EQ(metrics.at("exact_match"), rows.at(1).numerator);
  return metrics;
}

TEST(SpanScorer, AnswersAreComparedWithTheBestReference) {
  EXPECT_EQ(metrics_of_answer(true, 9, 9).at("exact_match"), 1);
  const auto metrics = metrics_of_answer(true, 8, 9);  // "in 1945": against "in year 1945" and "1945"
  EXPECT_EQ(metrics.at("exact_match"), 0);
  EXPECT_NEAR(metrics.at("f1"), 0.8, 1e-9);
  EXPECT_NEAR(metrics.at("context_f1"), 2 * (2.0 / 6) * (2.0 / 3) / (2.0 / 6 + 2.0 / 3), 1e-9);  // in, 1945 of 6 words
  EXPECT_EQ(metrics.at("context_exact_match"), 0);
}

TEST(SpanScorer, WithoutTextsTokensAreDecoded) {
  EXPECT_EQ(metrics_of_answer(false, 8, 9).at("exact_match"), 1);
  EXPECT_EQ(metrics_of_answer(false, 6, 6).at("f1"), 0);
  EXPECT_EQ(metrics_of_answer(false, 8, 9, true).at("f1"), 0) << "nothing says what is right";
}

}  // namespace
}  // namespace polyhead
