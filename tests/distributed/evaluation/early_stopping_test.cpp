// Early stopping and the best step as functions of the evaluations' results.
#include "distributed/evaluation/early_stopping.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/kinds/registry.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::error_of;
using testing::expect_contains;

const std::set<std::string> kBoth = {"a", "b"};

ValidationOptions options(const std::string& best, std::int64_t patience, std::int64_t task_patience) {
  return {.best = best,
          .patience = patience,
          .tasks = {{"a", {.metric = "loss", .patience = task_patience}},
                    {"b", {.metric = "accuracy", .patience = task_patience}}}};
}

ValidationResults results(double loss, double accuracy) {
  return {{"a", {{"loss", loss}, {"accuracy", 0}}}, {"b", {{"loss", 0}, {"accuracy", accuracy}}}};
}

TEST(Validation, ATaskIsFinishedWhenItsPatienceHasRunOut) {
  const ValidationOptions given = options("", 0, 2);
  ValidationState state;
  const auto see = [&](std::int64_t step, double loss, double accuracy) {
    return take_note(given, results(loss, accuracy), kBoth, step, state);
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(see(10, 3, 0.5), Names{});
  EXPECT_EQ(see(20, 2, 0.5), Names{});  // equal is not better
  EXPECT_EQ(state.tasks.at("a"), (BestValue{-2, 20, 0}));
  EXPECT_EQ(state.tasks.at("b"), (BestValue{0.5, 10, 1}));
  EXPECT_EQ(see(30, 2.5, 0.4), Names{"b"});
  EXPECT_EQ(why_ended(given, state), "");
  EXPECT_EQ(see(40, std::nan(""), 0.9), Names{"a"});  // and b stays finished, as it was
  EXPECT_EQ(state.tasks.at("b"), (BestValue{0.5, 10, 2}));
  EXPECT_EQ(state.finished, (std::map<std::string, std::int64_t>{{"b", 30}, {"a", 40}}));
  EXPECT_EQ(why_ended(given, state), "every task is finished");
  EXPECT_EQ(state.run, BestValue{});
}

TEST(Validation, ThePatienceWithATaskThatTakesNoPartDoesNotRunOut) {
  const ValidationOptions given = options("", 0, 1);
  ValidationState state;
  for (std::int64_t step = 1; step <= 5; ++step) take_note(given, results(1, 1), {"b"}, step, state);
  EXPECT_EQ(state.finished, (std::map<std::string, std::int64_t>{{"b", 2}}));
  take_note(given, results(1, 1), {"a"}, 6, state);
  EXPECT_EQ(state.tasks.at("a"), (BestValue{-1, 6, 0}));
}

TEST(Validation, TheBestStepIsThatOfAMetricOrOfTheMean) {
  ValidationState one, mean;
  for (const auto& [step, loss, accuracy] :
       {std::tuple(10, 3.0, 0.5), {20, 2.0, 0.4}, {30, 2.0, 0.6}, {40, 2.05, 0.62}, {50, std::nan(""), 0.62}}) {
    EXPECT_TRUE(take_note(options("b:accuracy", 2, 0), results(loss, accuracy), kBoth, step, one).empty());
    take_note(options("mean", 2, 0), results(loss, accuracy), kBoth, step, mean);
  }
  EXPECT_EQ(one.run, (BestValue{0.62, 40, 1}));
  EXPECT_EQ(mean.run, (BestValue{(-2 + 0.6) / 2, 30, 2}));
  EXPECT_EQ(why_ended(options("b:accuracy", 2, 0), one), "");
  EXPECT_EQ(why_ended(options("mean", 2, 0), mean), "mean was best after step 30, 2 evaluations ago");
  EXPECT_EQ(why_ended(options("mean", 0, 0), mean), "");
}

TEST(Validation, SeveralValuesHaveBestStepsOfTheirOwn) {
  const ValidationOptions given = options("b:accuracy, a:loss,mean", 2, 0);
  EXPECT_EQ(given.best_values(), (std::vector<std::string>{"b:accuracy", "a:loss", "mean"}));
  ValidationState state;
  take_note(given, results(3, 0.5), kBoth, 10, state);
  take_note(given, results(4, 0.6), kBoth, 20, state);
  EXPECT_EQ(state.best.at("b:accuracy"), (BestValue{0.6, 20, 0}));
  EXPECT_EQ(state.best.at("a:loss"), (BestValue{-3, 10, 1}));
  EXPECT_EQ(state.best.at("mean"), (BestValue{(-3 + 0.5) / 2, 10, 1}));
  EXPECT_EQ(state.run, state.best.at("b:accuracy"));
  EXPECT_TRUE(state.is_best(10));
  EXPECT_TRUE(state.is_best(20));
  EXPECT_FALSE(state.is_best(15));
  take_note(given, results(2, 0.5), kBoth, 30, state);  // only one of them gets better
  take_note(given, results(2, 0.5), kBoth, 40, state);
  EXPECT_EQ(why_ended(given, state), "");
  take_note(given, results(2, 0.5), kBoth, 50, state);
  EXPECT_EQ(why_ended(given, state), "none of b:accuracy, a:loss,mean has become better in the last 2 evaluations");
  EXPECT_EQ(why_ended(options("b:accuracy, a:loss,mean", 0, 0), state), "");
}

TEST(Validation, EachStandsForEveryTaskWithValidSamples) {
  ValidationOptions given = options("each, mean", 2, 0);
  EXPECT_EQ(given.best_values(), (std::vector<std::string>{"a:loss", "b:accuracy", "mean"}));
  given.tasks.at("a").has_valid = false;
  EXPECT_EQ(given.best_values(), (std::vector<std::string>{"b:accuracy", "mean"}));
  ValidationState state;
  for (std::int64_t step = 1; step <= 3; ++step) take_note(given, {{"b", {{"accuracy", 0.5}}}}, kBoth, step, state);
  EXPECT_EQ(why_ended(given, state), "none of each, mean has become better in the last 2 evaluations");
}

TEST(Validation, TheNameOfATaskMayHaveCommas) {
  ValidationOptions given = options("", 0, 0);
  given.tasks["a, b"] = {};
  const auto values = [&](const std::string& best) {
    given.best = best;
    return given.best_values();
  };
  using Values = std::vector<std::string>;
  EXPECT_EQ(values(""), Values{});
  EXPECT_EQ(values("a, b:loss"), Values{"a, b:loss"});
  EXPECT_EQ(values("mean, a, b:loss ,a:loss"), (Values{"mean", "a, b:loss", "a:loss"}));
  EXPECT_EQ(values("c:loss, a:loss"), (Values{"c:loss", "a:loss"}));  // c is reported by check()
  EXPECT_EQ(values("b,"), Values{"b"});
}

TEST(Validation, ErrorsNameTheMetricAndThoseThereAre) {
  const auto task = [](const std::string& name, Kind kind, const std::vector<std::string>& labels = {}) {
    return std::pair(name, ValidatedTask{kind, valid_metrics(kind, {labels, {}})});
  };
  using Tasks = std::map<std::string, ValidatedTask>;
  const Tasks kinds = {task("a", Kind::masked_lm), task("b", Kind::classification)};
  const auto error = [&](const ValidationOptions& given, const Tasks& of) {
    return error_of(Exit::config, [&] { check(given, of); });
  };
  EXPECT_NO_THROW(check(options("mean", 3, 3), kinds));
  EXPECT_NO_THROW(check(options("b:matthews", 0, 0), kinds));
  expect_contains(error(options("b:acuracy", 0, 0), kinds), "no metric 'acuracy' on valid; it has loss, accuracy,");
  expect_contains(error(options("c:loss", 0, 0), kinds),
                  "'c' is not a task of the run with valid samples; those tasks are a, b");
  expect_contains(error(options("b", 0, 0), kinds), "run.best = b: expected mean, each or TASK:METRIC");
  expect_contains(error(options("mean, b:acuracy", 0, 0), kinds), "no metric 'acuracy' on valid");
  expect_contains(error(options("mean,b:loss, mean", 0, 0), kinds), "mean is listed twice; keep one");
  expect_contains(error(options("each,b:accuracy", 0, 0), kinds), "b:accuracy is listed twice; keep one");
  expect_contains(error(options("", 2, 0), kinds),
                  "run.patience = 2 counts evaluations without a better value of run.best");
  expect_contains(error(options("mean", 0, 0), {}), "no task has valid samples");
  expect_contains(error(options("", 0, 2), {task("a", Kind::masked_lm)}), "task b has no valid samples");
  ValidationOptions wrong = options("", 0, 0);
  wrong.tasks.at("a").metric = "bleu";
  expect_contains(error(wrong, kinds), "task.a.metric: task a of kind masked_lm has no metric 'bleu'");
  EXPECT_NO_THROW(check(options("b:entity_f1", 0, 0), {task("b", Kind::tagging, {"B-x", "I-x", "O"})}));
  expect_contains(error(options("b:entity_f1", 0, 0), {task("b", Kind::tagging, {"NOUN", "VERB"})}),
                  "no metric 'entity_f1' on valid; it has loss, accuracy, macro_f1");
}

}  // namespace
}  // namespace polyhead
