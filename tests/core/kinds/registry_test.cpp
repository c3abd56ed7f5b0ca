// What every kind says about itself, and the metrics that heads bring.
#include "core/kinds/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

namespace polyhead {
namespace {

const std::vector<std::string> kLabels = {"low", "mid", "high"}, kEntities = {"B-x", "I-x", "O"}, kNone;

std::vector<Kind> all_kinds() {
  std::vector<Kind> kinds;
  for (const std::string_view name : kKindNames) kinds.push_back(*kind_from(name));
  return kinds;
}

TEST(Kinds, TheFirstMetricIsAHeadlineWithRows) {
  for (const Kind kind : all_kinds()) {
    const Metric first = headline(kind, {kLabels, kNone});
    EXPECT_FALSE(first.name.empty()) << name_of(kind);
    EXPECT_FALSE(first.baseline_key.empty()) << name_of(kind);
    EXPECT_NE(first.rows, Metric::Rows::none) << name_of(kind);
  }
  EXPECT_EQ(headline(Kind::regression, {kNone, kNone}).key, "mse");
  EXPECT_EQ(headline(Kind::translation, {kNone, kNone}).key, "perplexity");
  EXPECT_EQ(headline(Kind::tagging, {kLabels, kNone}).key, "accuracy");
  EXPECT_EQ(headline(Kind::tagging, {kEntities, kNone}).key, "entity_f1");
}

TEST(Kinds, AMetricHasOneDirectionInAllKinds) {
  for (const Kind kind : all_kinds())
    for (const Metric& metric : metrics_of(kind, {kEntities, kNone}))
      EXPECT_EQ(metric.lower_is_better, lower_is_better(metric.key)) << name_of(kind) << " " << metric.key;
  for (const char* lower : {"loss", "perplexity", "mse", "mae"}) EXPECT_TRUE(lower_is_better(lower)) << lower;
}

TEST(Kinds, EvaluationsOnValidLeaveOutWhatNeedsASearch) {
  using Keys = std::vector<std::string>;
  EXPECT_EQ(valid_metrics(Kind::translation, {kNone, kNone}), (Keys{"loss", "perplexity", "accuracy"}));
  EXPECT_EQ(valid_metrics(Kind::classification, {kLabels, kNone}), (Keys{"loss", "accuracy", "macro_f1", "matthews"}));
}

TEST(Kinds, WithoutSamplesStatisticsHaveTheirShapes) {
  const std::vector<std::string> outputs = {"x", "y", "z"};
  TrainStatistics statistics;
  task_kind(Kind::regression).add_statistics({kNone, outputs}, {}, {}, statistics);
  EXPECT_EQ(statistics.mean, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(statistics.deviation, (std::vector<double>{1, 1, 1}));
}

// The fields of a classified sample.
struct Labelled final : SampleFields {
  explicit Labelled(std::int64_t label) : label_(label) {}
  std::uint64_t index() const override { return 0; }
  void input_tokens(std::vector<std::int64_t>&) const override {}
  void target_tokens(std::vector<std::int64_t>&) const override {}
  void tags(std::vector<std::int64_t>&) const override {}
  std::int64_t label() const override { return label_; }
  void labels(std::vector<std::int64_t>&) const override {}
  void values(std::vector<double>&) const override {}
  std::optional<std::string> input_text() const override { return {}; }
  std::optional<std::string> target_text() const override { return {}; }

 private:
  std::int64_t label_;
};

TrainSamples train_of(const std::vector<std::int64_t>& labels) {
  return {labels.size(), [labels](const auto& use) {
            for (const std::int64_t label : labels) use(Labelled(label));
          }};
}

TEST(Kinds, ClassWeightsAndBaselineFollowFromTheCounts) {
  const TrainSamples train = train_of({2, 0, 2, 2});
  TrainStatistics statistics;
  HeadOptions options;
  task_kind(Kind::classification).add_statistics({kLabels, kNone}, options, train, statistics);
  EXPECT_TRUE(statistics.class_weights.empty());
  options.class_weights = ClassWeights::balanced;
  task_kind(Kind::classification).add_statistics({kLabels, kNone}, options, train, statistics);
  EXPECT_EQ(statistics.class_weights, (std::vector<double>{2, 1, 4.0 / 6}));
  EXPECT_EQ(task_kind(Kind::classification).baseline({kLabels, kNone}, {}, train), std::vector<double>{2});
}

SampleRow distance(const ScoredSample& sample) {
  const auto gap = sample.scored.predicted[sample.index] - sample.slice.labels[sample.index];
  return {static_cast<double>(gap < 0 ? -gap : gap), 1};
}

TEST(Kinds, AHeadBringsAMetricOfItsOwn) {
  register_metrics("ordered", Kind::classification,
                   {{.key = "distance", .name = "distance", .lower_is_better = true, .score = distance}});
  const TaskView plain{kLabels, kNone}, ordered{kLabels, kNone, "ordered"};
  EXPECT_EQ(std::ranges::count(valid_metrics(Kind::classification, plain), "distance"), 0);
  EXPECT_EQ(valid_metrics(Kind::classification, ordered).back(), "distance");
  EXPECT_EQ(headline(Kind::classification, ordered).key, "accuracy");
  EXPECT_TRUE(lower_is_better("distance"));

  TaskSlice slice;
  slice.labels = {0, 2, 1};
  const Scored scored{.loss = {0, 0, 0}, .count = {1, 1, 1}, .predicted = {2, 2, 0}};
  const Predicted none;
  const Labelled stored(0);
  const std::vector<std::int64_t> offsets = {0, 1, 2, 3};
  const auto scorer = make_scorer(Kind::classification, {.task = ordered, .decode = {}});
  std::vector<double> rows;
  for (std::size_t i = 0; i < slice.labels.size(); ++i) {
    const auto found = scorer->add({i, stored, slice, offsets, scored, none});
    ASSERT_EQ(found.size(), 2U);  // of accuracy and of the distance
    rows.push_back(found[1].numerator);
  }
  EXPECT_EQ(rows, (std::vector<double>{2, 0, 1}));
  // As if another worker had scored the same samples.
  scorer->each([](double& value) { value *= 2; });
  std::map<std::string, double> metrics;
  scorer->add_metrics(metrics, 0);
  EXPECT_DOUBLE_EQ(metrics.at("distance"), 1);
  EXPECT_DOUBLE_EQ(metrics.at("accuracy"), 1.0 / 3);
}

TEST(Kinds, AMetricThatIsTakenIsRefused) {
  const auto add = [](const std::string& key, bool lower) {
    register_metrics("other", Kind::classification,
                     {{.key = key, .name = "", .lower_is_better = lower, .score = distance}});
  };
  EXPECT_THROW(add("", false), std::logic_error);
  EXPECT_THROW(add("loss", true), std::logic_error);
  EXPECT_THROW(add("accuracy", false), std::logic_error);
  EXPECT_THROW(add("perplexity", false), std::logic_error) << "lower is better elsewhere";
  EXPECT_NO_THROW(add("perplexity", true));
}

}  // namespace
}  // namespace polyhead
