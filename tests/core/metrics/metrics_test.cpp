// Metrics: values that were computed by hand, sums over workers, text that is not UTF-8, and the bootstrap against the
// normal approximation. tests/python/training/metrics_test.py compares with sacrebleu and scikit-learn.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

double bleu_of(std::string_view hypothesis, std::string_view reference) {
  std::array<double, kBleuSums> sums{};
  add_bleu(sums, hypothesis, reference);
  return bleu(sums);
}

double chrf_of(std::string_view hypothesis, std::string_view reference) {
  std::array<double, kChrfSums> sums{};
  add_chrf(sums, hypothesis, reference);
  return chrf(sums);
}

void expect_internal(const std::function<void()>& call, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "no error; expected one with '" << part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::internal);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Classification, ByHand) {
  Scores scores;
  EXPECT_EQ(accuracy(scores, 4), 0);
  EXPECT_EQ(macro_f1(scores, 4), 0);
  add_prediction(scores, 4, 0, 0);
  add_prediction(scores, 4, 0, 1);
  add_prediction(scores, 4, 1, 1);
  add_prediction(scores, 4, 1, 2);
  // F1: class 0 2/3, class 1 2/4, class 2 0 (predicted only), class 3 does not occur.
  EXPECT_DOUBLE_EQ(accuracy(scores, 4), 0.5);
  EXPECT_DOUBLE_EQ(macro_f1(scores, 4), (2.0 / 3 + 0.5 + 0) / 3);
}

TEST(Classification, NoClassAtAllIsWrong) {
  Scores scores;
  add_prediction(scores, 2, 0, 0);
  add_prediction(scores, 2, 0, -1);
  EXPECT_DOUBLE_EQ(accuracy(scores, 2), 0.5);
  EXPECT_DOUBLE_EQ(macro_f1(scores, 2), 2.0 / 3);
}

TEST(Classification, SumsAddOverWorkers) {
  Scores all, one, two;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const std::int64_t gold = bounded(draw(1, i), 5), predicted = bounded(draw(2, i), 5);
    add_prediction(all, 5, gold, predicted);
    add_prediction(i % 3 == 0 ? one : two, 5, gold, predicted);
  }
  for (std::size_t i = 0; i < one.sums.size(); ++i) one.sums[i] += two.sums[i];
  EXPECT_EQ(one.sums, all.sums);
}

TEST(Classification, WrongUse) {
  Scores scores;
  expect_internal([&] { add_prediction(scores, 3, 3, 0); }, "there are 3 classes");
  expect_internal([&] { add_prediction(scores, 3, -1, 0); }, "there are 3 classes");
  expect_internal([&] { add_prediction(scores, 3, 0, 3); }, "there are 3 classes");
  expect_internal([&] { add_prediction(scores, 3, 0, -2); }, "there are 3 classes");
  add_prediction(scores, 3, 0, 0);
  expect_internal([&] { add_prediction(scores, 4, 0, 0); }, "scores of 4 classes hold 9 sums");
  expect_internal([&] { accuracy(scores, 2); }, "scores of 2 classes");
  expect_internal([&] { macro_f1(scores, 0); }, "scores of 0 classes");
}

TEST(Bleu, Tokenization) {
  EXPECT_EQ(tokenize_13a("Hello, world! It's 3.14 or 1,000."), "Hello , world ! It's 3.14 or 1,000 .");
  EXPECT_EQ(tokenize_13a("a-b 3-4 &quot;x&quot; &amp;lt; e.g."), "a-b 3 - 4 \" x \" < e . g .");
  EXPECT_EQ(tokenize_13a("skip<skipped>ped hy-\nphen\nnext"), "skipped hyphen next");
  EXPECT_EQ(tokenize_13a("\u00a0\u3000wide\u2003space\u00a0"), "wide space");
  EXPECT_EQ(tokenize_13a("größer,日本.語"), "größer , 日本 . 語");
  EXPECT_EQ(tokenize_13a(""), "");
}

TEST(Bleu, ByHand) {
  EXPECT_NEAR(bleu_of("the cat sat on the mat", "the cat sat on the mat"), 100, 1e-9);
  // Matches 3, 2, 1, 0 of 4, 3, 2, 1; the empty order counts as a half.
  EXPECT_NEAR(bleu_of("a b c d", "a b c e"), 100 * std::pow(3.0 / 4 * 2 / 3 * 1 / 2 * 0.5, 0.25), 1e-9);
  // Everything matches but a fifth word is missing.
  EXPECT_NEAR(bleu_of("a b c d", "a b c d e"), 100 * std::exp(1 - 5.0 / 4), 1e-9);
  // A word counts at most as often as in the reference.
  std::array<double, kBleuSums> sums{};
  add_bleu(sums, "the the the", "the cat the");
  EXPECT_EQ(sums, (std::array<double, kBleuSums>{2, 0, 0, 0, 3, 2, 1, 0, 3, 3}));
}

TEST(Bleu, NothingInCommonOrNothingAtAll) {
  EXPECT_EQ(bleu(std::array<double, kBleuSums>{}), 0);
  EXPECT_EQ(bleu_of("a b c d", "e f g h"), 0);
  EXPECT_EQ(bleu_of("", "a b c d"), 0);
  EXPECT_EQ(bleu_of("a b c d", ""), 0);
  EXPECT_EQ(bleu_of("a b", "a b"), 0) << "no 4-gram at all";
}

TEST(Bleu, IsOfTheCorpusNotAMean) {
  std::array<double, kBleuSums> both{}, first{}, second{};
  add_bleu(both, "a b c d", "a b c e");
  add_bleu(both, "x y z w v", "x y z w v");
  add_bleu(first, "a b c d", "a b c e");
  add_bleu(second, "x y z w v", "x y z w v");
  for (std::size_t i = 0; i < kBleuSums; ++i) EXPECT_EQ(both[i], first[i] + second[i]);
  EXPECT_NEAR(bleu(both), 100 * std::pow(8.0 / 9 * 6 / 7 * 4 / 5 * 2 / 3, 0.25), 1e-9);
}

TEST(Chrf, ByHand) {
  EXPECT_NEAR(chrf_of("größer", "größer"), 100, 1e-9);
  EXPECT_NEAR(chrf_of("a b\tc", "abc"), 100, 1e-9) << "white space does not count";
  // Orders 1 and 2 exist on both sides: precision (1/2 + 0) / 2, recall (1/2 + 0) / 2; the same, so F is either.
  EXPECT_NEAR(chrf_of("ab", "ac"), 25, 1e-9);
  // Orders of both sides: 1. Precision 1/1, recall 1/2; beta 2 weighs recall.
  EXPECT_NEAR(chrf_of("a", "ab"), 100 * 5 * 1 * 0.5 / (4 * 1 + 0.5), 1e-9);
  // An order that the reference is too short for is left out of the hypothesis' counts.
  std::array<double, kChrfSums> sums{};
  add_chrf(sums, "日本語", "日本");
  EXPECT_EQ(sums, (std::array<double, kChrfSums>{3, 2, 2, 2, 1, 1, 0}));
}

TEST(Chrf, NothingInCommonOrNothingAtAll) {
  EXPECT_EQ(chrf(std::array<double, kChrfSums>{}), 0);
  EXPECT_EQ(chrf_of("abc", "def"), 0);
  EXPECT_EQ(chrf_of("", "abc"), 0);
  EXPECT_EQ(chrf_of("abc", " \n"), 0);
}

TEST(Translation, WrongUse) {
  std::array<double, 3> sums{};
  expect_internal([&] { add_bleu(sums, "a", "a"); }, "add_bleu");
  expect_internal([&] { bleu(sums); }, "kBleuSums");
  expect_internal([&] { add_chrf(sums, "a", "a"); }, "add_chrf");
  expect_internal([&] { chrf(sums); }, "kChrfSums");
}

TEST(Utf8, RoundTripOfEveryCodePoint) {
  std::u32string all;
  for (char32_t c = 0; c <= 0x10FFFF; ++c)
    if (c < 0xD800 || c > 0xDFFF) all.push_back(c);
  EXPECT_TRUE(decode_utf8(encode_utf8(all)) == all);
  EXPECT_EQ(encode_utf8(std::u32string{0xD800, 0x110000}), "\uFFFD\uFFFD");
}

TEST(Utf8, InvalidBytesBecomeReplacementCharacters) {
  const auto replaced = [](std::string_view bytes) { return encode_utf8(decode_utf8(bytes)); };
  EXPECT_EQ(replaced("a\x80z"), "a\uFFFDz");
  EXPECT_EQ(replaced("\xC0\xAF"), "\uFFFD\uFFFD") << "overlong";
  EXPECT_EQ(replaced("\xE2\x82"), "\uFFFD") << "cut off";
  EXPECT_EQ(replaced("\xE2\x82z"), "\uFFFDz");
  EXPECT_EQ(replaced("\xF0\x9F\x98\xC3\xA9"), "\uFFFDé");
  EXPECT_EQ(replaced("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD") << "a surrogate";
  EXPECT_EQ(replaced("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD") << "above U+10FFFF";
  EXPECT_NEAR(chrf_of("ab\xFF", "ab\x80"), 100, 1e-9);
}

TEST(Bootstrap, AgreesWithTheNormalApproximation) {
  std::vector<double> rows;
  constexpr int kSamples = 2000;
  for (int i = 0; i < kSamples; ++i) {
    rows.push_back(i % 4 == 0 ? 0 : 1);
    rows.push_back(1);
  }
  const Interval interval = bootstrap_interval(rows, 1000, 7, false);
  const double half = 1.96 * std::sqrt(0.75 * 0.25 / kSamples);
  EXPECT_NEAR(interval.low, 0.75 - half, 0.15 * half);
  EXPECT_NEAR(interval.high, 0.75 + half, 0.15 * half);
}

TEST(Bootstrap, IsAPureFunctionOfRowsAndSeed) {
  std::vector<double> rows;
  for (std::uint64_t i = 0; i < 50; ++i) {
    rows.push_back(unit(draw(1, i)));
    rows.push_back(1 + static_cast<double>(bounded(draw(2, i), 5)));
  }
  const Interval a = bootstrap_interval(rows, 300, 1, false), b = bootstrap_interval(rows, 300, 1, false);
  const Interval other = bootstrap_interval(rows, 300, 2, false);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  EXPECT_NE(a.low, other.low);
  EXPECT_LT(a.low, a.high);
  // The exponential is monotone; it differs by interpolation between neighbouring ranks only.
  const Interval exponential = bootstrap_interval(rows, 300, 1, true);
  EXPECT_NEAR(exponential.low, std::exp(a.low), 1e-4);
  EXPECT_NEAR(exponential.high, std::exp(a.high), 1e-4);
}

TEST(PairedBootstrap, SystemsThatAreAlikeAreAlikeInEveryDraw) {
  std::vector<std::vector<double>> rows(3);
  for (std::uint64_t s = 0; s < 3; ++s)
    for (std::uint64_t i = 0; i < 100; ++i) rows[s].insert(rows[s].end(), {unit(draw(s, i)), 1});
  std::vector<std::vector<double>> better = rows;
  for (auto& of_seed : better)
    for (std::size_t i = 0; i < of_seed.size(); i += 2) of_seed[i] += 0.25;
  double lowest = 1, highest = 0;
  for (const auto& [one, same] : paired_bootstrap(rows, rows, 200, 5)) {
    EXPECT_EQ(one, same);
    lowest = std::min(lowest, one), highest = std::max(highest, one);
  }
  EXPECT_LT(lowest, highest - 0.05) << "the draws differ, the pairs do not";
  // A constant gain on every sample and seed has no width, however wide the metric itself is.
  for (const auto& [one, other] : paired_bootstrap(rows, better, 200, 5)) EXPECT_NEAR(other - one, 0.25, 1e-12);
}

TEST(PairedBootstrap, EdgeCases) {
  const std::vector<std::vector<double>> one = {{3, 4}}, two = {{3, 4}, {1, 4}}, mixed = {{0, 0, 1, 1}};
  const auto draws = paired_bootstrap(one, std::vector<std::vector<double>>{{1, 4}}, 3, 1);
  ASSERT_EQ(draws.size(), 3U);
  EXPECT_EQ(draws[0].first, 0.75);
  EXPECT_EQ(draws[0].second, 0.25);
  // Draws of the unscored row alone are not a number, and interval_of leaves them out.
  std::vector<double> values;
  for (const PairedDraw& draw : paired_bootstrap(mixed, mixed, 50, 1)) values.push_back(draw.first);
  EXPECT_TRUE(std::ranges::any_of(values, [](double v) { return std::isnan(v); }));
  EXPECT_EQ(interval_of(values).low, 1);
  EXPECT_EQ(interval_of({}).high, 0);
  expect_internal([&] { paired_bootstrap(one, two, 10, 1); }, "1 and 2 seeds");
  expect_internal([&] { paired_bootstrap(one, mixed, 10, 1); }, "rows of two");
  expect_internal([&] { paired_bootstrap({}, {}, 10, 1); }, "0 and 0 seeds");
  expect_internal([&] { paired_bootstrap(one, one, 0, 1); }, "0 draws");
}

TEST(Metrics, WhatIsNotFiniteGivesMetricsThatAreNot) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const std::vector<double> gold = {0, 1, 1, 0}, sure = {0.1, 0.9, nan, 0.2};
  EXPECT_TRUE(std::isnan(multilabel_metrics(gold, sure, 2).average_precision));
  EXPECT_TRUE(std::isnan(multilabel_metrics(gold, sure, 2).micro_f1));
  const std::vector<double> told = {0, 1, -inf, 0};
  EXPECT_TRUE(std::isnan(regression_metrics(gold, told, 1).spearman));
  EXPECT_TRUE(std::isnan(regression_metrics(gold, sure, 2).mse));
}

TEST(Metrics, ShapesThatDisagreeAreErrors) {
  const std::vector<double> four(4), five(5);
  EXPECT_THROW(multilabel_metrics(four, five, 1), Error);
  EXPECT_THROW(multilabel_metrics(five, five, 2), Error);
  EXPECT_THROW(multilabel_metrics(four, four, 0), Error);
  EXPECT_THROW(regression_metrics(four, five, 1), Error);
  EXPECT_THROW(regression_metrics(five, five, 2), Error);
  EXPECT_THROW(regression_metrics(four, four, 0), Error);
}

TEST(Bootstrap, EdgeCases) {
  const std::vector<double> one = {3, 4};
  EXPECT_EQ(bootstrap_interval(one, 10, 1, false).low, 0.75);
  EXPECT_EQ(bootstrap_interval(one, 1, 1, false).high, 0.75);
  EXPECT_EQ(bootstrap_interval({}, 10, 1, false).high, 0);
  const std::vector<double> unscored = {0, 0, 0, 0};
  EXPECT_EQ(bootstrap_interval(unscored, 10, 1, true).high, 0);
  // Draws of the unscored row alone are left out.
  const std::vector<double> mixed = {0, 0, 1, 1};
  EXPECT_EQ(bootstrap_interval(mixed, 50, 1, false).low, 1);
  expect_internal([&] { bootstrap_interval(std::span(one).first(1), 10, 1, false); }, "rows of two");
  expect_internal([&] { bootstrap_interval(one, 0, 1, false); }, "0 draws");
}

}  // namespace
}  // namespace polyhead
