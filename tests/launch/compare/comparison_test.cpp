// Differences, gaps, and the printed tables.
#include "launch/compare/report.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/kinds/registry.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::expect_contains;

// Two seeds of one row each whose ratio is `value`.
std::vector<std::vector<double>> constant(double value) {
  return {{2 * value, 2}, {value, 1}};
}

TaskResults rows(const std::string& task, Kind kind, double first, double second,
                 const std::vector<std::string>& labels = {}) {
  const std::vector<std::string> outputs;
  return {task, kind, headline(kind, {labels, outputs}), {constant(first)}, {constant(second)}};
}

TEST(Comparison, LowerIsBetterTurnsTheSign) {
  const std::vector<TaskResults> tasks = {rows("a", Kind::classification, 0.5, 0.6),
                                          rows("b", Kind::regression, 2, 2.5), rows("c", Kind::translation, 4, 3)};
  Comparison found = compare_systems(tasks, 100);
  found.first = "single", found.second = "joint";
  ASSERT_EQ(found.tasks.size(), 3U);
  const auto& [a, b, c] = std::tie(found.tasks[0], found.tasks[1], found.tasks[2]);
  EXPECT_NEAR(a.difference, 0.1, 1e-12);
  EXPECT_NEAR(a.interval.low, 0.1, 1e-12);
  EXPECT_TRUE(a.gained());
  EXPECT_NEAR(b.difference, -0.5, 1e-12);
  EXPECT_TRUE(b.lost());
  EXPECT_NEAR(c.relative, 0.25, 1e-12);
  EXPECT_EQ(c.metric, "log-perplexity");
  EXPECT_NEAR(found.delta_m, (0.2 - 0.25 + 0.25) / 3, 1e-12);
  EXPECT_NEAR(found.delta_m_interval.high, found.delta_m, 1e-12);
  const std::string text = format_comparison(found);
  expect_contains(text, "single - joint");
  expect_contains(text, "lost (negative transfer): 1 of 3 tasks (33 %); gained: 2");
  expect_contains(text, "worst drop: -25.00 % (b)");
  expect_contains(json_of(found)["worst"].dump(), "\"task\":\"b\"");
}

TEST(Comparison, TaskOfEntitiesIsComparedByTheirF1) {
  std::vector<TaskResults> tasks = {rows("a", Kind::tagging, 0.5, 0.6, {"B-x", "I-x", "O"}),
                                    rows("b", Kind::tagging, 0.5, 0.6, {"x", "y"})};
  const Comparison found = compare_systems(tasks, 100);
  EXPECT_EQ(found.tasks[0].metric, "entity F1");
  EXPECT_EQ(found.tasks[1].metric, "accuracy");
  EXPECT_NEAR(found.tasks[0].difference, 0.1, 1e-12);
}

TEST(Comparison, ATaskThatTheFirstCannotDoHasNoRelativeDifference) {
  const std::vector<TaskResults> none = {rows("a", Kind::multilabel, 0, 0.5)};
  Comparison found = compare_systems(none, 100);
  found.first = "single", found.second = "joint";
  EXPECT_TRUE(std::isnan(found.delta_m));
  EXPECT_TRUE(json_of(found)["delta_m"].dump() == "null") << json_of(found).dump();
  const std::string text = format_comparison(found);
  expect_contains(text, "without a relative difference, as single has 0: a");
  expect_contains(text, "worst drop: none");
  EXPECT_EQ(text.find("Δm"), std::string::npos);
  const std::vector<TaskResults> two = {none[0], rows("b", Kind::classification, 0.5, 0.4)};
  EXPECT_NEAR(compare_systems(two, 100).delta_m, -0.2, 1e-12) << "of the others";
}

TEST(Comparison, AGapAboveZeroIsBetterOnTrain) {
  std::vector<TaskResults> tasks = {rows("a", Kind::classification, 0.5, 0.6), rows("b", Kind::regression, 2, 2.5)};
  for (TaskResults& task : tasks) {
    task.first.train = constant(0.75);
    task.first.steps = {10, 20};
    task.first.samples = {1000, 3000};
    task.first.seconds = {1, 2};
  }
  Comparison found = compare_systems(tasks, 100);
  EXPECT_NEAR(found.tasks[0].of_first.gap, 0.25, 1e-12);
  EXPECT_NEAR(found.tasks[1].of_first.gap, 1.25, 1e-12);
  EXPECT_NEAR(found.tasks[0].of_first.steps, 15, 1e-12);
  EXPECT_TRUE(std::isnan(found.tasks[0].of_second.gap));
  EXPECT_TRUE(std::isnan(found.tasks[0].of_second.seconds));
  found.first = "single", found.second = "joint", found.split = "test", found.until = Until::best;
  const std::string text = format_comparison(found);
  expect_contains(text, "a     single  0.7500  0.5000  +0.2500     15    2,000      1.5\n");
  expect_contains(text, "to the best step");
  EXPECT_EQ(json_of(found)["tasks"]["b"]["first_gap"], 1.25);
  EXPECT_TRUE(json_of(found)["tasks"]["b"]["second_gap"].dump() == "null");
}

// Six tasks, so that the matrix has two blocks; only e gains from f, and f loses with e.
TEST(Comparison, TheMatrixHasAllPairs) {
  const std::vector<std::string> names = {"a", "b", "c", "d", "e", "f"};
  std::vector<TaskResults> tasks;
  for (const std::string& task : names)
    for (const std::string& with : names) {
      if (task == with) continue;
      const double second = task == "e" && with == "f" ? 0.625 : task == "f" && with == "e" ? 0.25 : 0.5;
      tasks.push_back(rows(task, Kind::classification, 0.5, second));
      tasks.back().with = with;
    }
  Comparison found = compare_systems(tasks, 100);
  found.first = "single", found.second = "pair", found.split = "test";
  const std::string text = format_transfer(found);
  expect_contains(text, "with 5\n");
  expect_contains(text, "5  e     accuracy  0.5000  +0.1250*\n");
  expect_contains(text, "e     f     0.5000    0.6250     +0.1250  +0.1250 to +0.1250  +25.00 %  gained\n");
  expect_contains(text, "(alone)");
  const nlohmann::json json = json_of_transfer(found);
  EXPECT_EQ(json["tasks"]["f"]["with"]["e"]["difference"], -0.25);
  EXPECT_FALSE(json["tasks"]["f"]["with"].contains("f"));
  EXPECT_EQ(json["lost"].dump(), "[[\"f\",\"e\"]]");
  EXPECT_EQ(json["gained"].dump(), "[[\"e\",\"f\"]]");
}

}  // namespace
}  // namespace polyhead
