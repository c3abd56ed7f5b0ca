// What the protocols fill in and refuse.
#include "launch/compare/protocol.h"

#include <gtest/gtest.h>

namespace polyhead {
namespace {

Config given(const std::vector<std::pair<std::string, std::string>>& values) {
  Config config(train_options());
  for (const auto& [name, value] : values) config.set(name, {value, "command line", {}});
  return config;
}

TEST(Protocol, BestFillsInWhatIsNotGiven) {
  Config config = given({{"run.steps", "300"}});
  apply_protocol(config, Until::best);
  EXPECT_EQ(config.integer("run.eval_every"), 15);
  EXPECT_EQ(config.integer("run.patience"), 5);
  EXPECT_EQ(config.text("run.best"), "each");
  config = given({{"run.steps", "7"}, {"run.patience", "0"}});
  apply_protocol(config, Until::best);
  EXPECT_EQ(config.integer("run.eval_every"), 1);
  EXPECT_EQ(config.integer("run.patience"), 0);
}

TEST(Protocol, BestLeavesPatienceToTheTasks) {
  for (const char* name : {"run.task_patience", "task.a.patience"}) {
    Config config = given({{name, "2"}});
    apply_protocol(config, Until::best);
    EXPECT_EQ(config.integer("run.patience"), 0) << name;
  }
}

TEST(Protocol, StepsChangesNothing) {
  Config config = given({});
  apply_protocol(config, Until::steps);
  EXPECT_TRUE(config.names_given().empty());
  EXPECT_EQ(describe_protocol(config, Until::steps), "");
}

TEST(Protocol, ARunUsesTheValuesOfItsTasks) {
  const Config config = given({{"run.best", "a:accuracy, a:b:loss"}});
  EXPECT_EQ(best_of_run(config, {"a"}), "a:accuracy");
  EXPECT_EQ(best_of_run(config, {"b", "a"}), "a:accuracy");
  EXPECT_EQ(best_of_run(config, {"a:b", "a"}), "a:accuracy, a:b:loss");
  EXPECT_EQ(best_of_run(config, {"b"}), "each");
  EXPECT_EQ(best_of_run(given({{"run.best", "mean"}}), {"b"}), "mean");
}

TEST(Protocol, ATaskIsTestedAtItsOwnBestCheckpoint) {
  const auto tested = [](const std::vector<std::string>& values, const std::string& task) {
    return tested_checkpoint(values, task, Until::best);
  };
  EXPECT_EQ(tested({"a:loss", "b:accuracy"}, "a"), "best:a:loss");
  EXPECT_EQ(tested({"a:loss", "b:accuracy"}, "b"), "best:b:accuracy");
  EXPECT_EQ(tested({"b:accuracy"}, "b"), "best");  // the run has only one
  EXPECT_EQ(tested({"mean"}, "a"), "best");
  EXPECT_EQ(tested({"mean", "b:loss", "b:accuracy"}, "b"), "best:b:loss");
  EXPECT_EQ(tested({"mean", "b:loss"}, "a"), "best");
  EXPECT_EQ(tested_checkpoint({}, "a", Until::steps), "latest");
}

TEST(Protocol, OtherDecisionsAreNamed) {
  const Config before = given({{"run.steps", "10"}, {"run.eval_every", "5"}}),
               now = given({{"run.steps", "20"}, {"run.eval_every", "4"}});
  EXPECT_EQ(other_decisions(before, now, {"a"}), std::vector<std::string>{"run.steps: 10 there, 20 here"});
  const Config stopped = given({{"run.steps", "10"}, {"run.eval_every", "5"}, {"task.a.patience", "3"}});
  EXPECT_EQ(other_decisions(before, stopped, {"a"}), std::vector<std::string>{"task.a.patience: 0 there, 3 here"});
  EXPECT_TRUE(other_decisions(stopped, stopped, {"a"}).empty());
}

}  // namespace
}  // namespace polyhead
