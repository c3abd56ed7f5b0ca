// A plan agrees with the model's construction, the mixture, and the placement of training.
#include "distributed/planning/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/base/error.h"

namespace polyhead {
namespace {

TaskInfo task(const std::string& name, Kind kind, std::uint64_t samples, std::uint64_t tokens) {
  TaskInfo info;
  info.name = name;
  info.kind = kind;
  if (kind == Kind::classification || kind == Kind::tagging) info.labels = {"a", "b", "c"};
  info.splits["train"] = {samples, samples * tokens, kind == Kind::translation ? samples * tokens : 0, {}};
  return info;
}

struct Given {
  Manifest manifest;
  TrainOptions options;
};

Given given() {
  Given all;
  all.manifest.tokenizer.vocab_size = 100;
  all.manifest.tasks = {task("topic", Kind::classification, 1000, 20), task("tags", Kind::tagging, 500, 10),
                        task("en-it", Kind::translation, 2000, 30), task("text", Kind::masked_lm, 3000, 40),
                        task("stars", Kind::regression, 700, 25)};
  TrainOptions& options = all.options;
  options.data = "data";
  options.steps = 10;
  options.encoder = {.layers = 2, .dim = 16, .heads = 2, .ffn = 32};
  options.mixture.batch = 64;
  for (const TaskInfo& info : all.manifest.tasks) {
    options.tasks.push_back(info.name);
    options.task_options[info.name] = {};
  }
  return all;
}

Plan plan_of(const Given& all, int workers, int per_node = 1) {
  return make_plan(all.options, all.manifest, {}, {.workers = workers, .per_node = per_node});
}

TEST(Plan, EverySampleIsSomebodys) {
  const Given all = given();
  for (const int workers : {1, 2, 3, 4, 7, 64, 200}) {
    const Plan plan = plan_of(all, workers, 4);
    ASSERT_EQ(plan.workers.size(), static_cast<std::size_t>(workers));
    std::vector<std::int64_t> samples(plan.tasks.size());
    for (const PlannedWorker& worker : plan.workers)
      for (std::size_t i = 0; i < worker.tasks.size(); ++i) samples[worker.tasks[i]] += worker.samples[i];
    std::int64_t batch = 0;
    for (std::size_t t = 0; t < samples.size(); ++t) {
      EXPECT_EQ(samples[t], plan.tasks[t].samples) << workers;
      batch += samples[t];
    }
    EXPECT_EQ(batch, all.options.mixture.batch);
    EXPECT_GT(plan.efficiency, 0);
    EXPECT_LE(plan.efficiency, 1 + 1e-9) << workers;
  }
  EXPECT_NEAR(plan_of(all, 1).efficiency, 1, 1e-9);
}

TEST(Plan, ParametersAreTheModels) {
  const Plan plan = plan_of(given(), 2);
  // Embedding; two blocks of norm, qkv, out, norm, up, down; norm; task key, queries of 5 tasks and none, importance.
  const std::int64_t block = 2 * 16 + 3 * 16 * 17 + 16 * 17 + 2 * 16 + 32 * 17 + 16 * 33;
  EXPECT_EQ(plan.encoder_parameters, 100 * 16 + 2 * block + 2 * 16 + 16 * 16 + 6 * 16 + 6);
  EXPECT_EQ(plan.tasks[0].parameters, 2 * 16 * 17 + 3 * 17);  // value, hidden, out
  EXPECT_EQ(plan.tasks[4].parameters, 2 * 16 * 17 + 17);
  for (const PlannedWorker& worker : plan.workers) {
    std::int64_t held = plan.encoder_parameters;
    for (const std::size_t t : worker.tasks) held += plan.tasks[t].parameters;
    EXPECT_GE(worker.parameters, 4.0 * static_cast<double>(held));
    EXPECT_LE(worker.parameters, 4.1 * static_cast<double>(held) + 4 * 16 * 100);  // each tensor is padded
    EXPECT_EQ(worker.gradients, worker.parameters);
    EXPECT_EQ(worker.optimizer, 2 * worker.parameters);
  }
}

TEST(Plan, GivenCostsDecide) {
  Given all = given();
  for (auto& [name, own] : all.options.task_options) own.cost = 0.001;
  all.options.mixture.phases.front().mixture.kind = "uniform";
  const Plan even = plan_of(all, 5);
  for (const PlannedWorker& worker : even.workers) EXPECT_EQ(worker.tasks.size(), 1u);
  // As much for topic alone as for all others together.
  all.options.task_options["topic"].cost = 0.004;
  const Plan heavy = plan_of(all, 2);
  EXPECT_EQ(std::ranges::count_if(heavy.workers,
                                  [](const PlannedWorker& w) { return w.tasks == std::vector<std::size_t>{0}; }),
            1);
  EXPECT_NEAR(heavy.tasks[0].seconds, 0.004, 1e-15);
}

TEST(Plan, OperationsGrowAsTheyMust) {
  const auto operations = [](const std::function<void(Given&)>& change) {
    Given all = given();
    change(all);
    return plan_of(all, 1).tasks[0].work.operations;
  };
  const double base = operations([](Given&) {});
  // Forward and backward are 6 operations for each weight of a linear layer and token.
  const double block = 4.0 * 16 * 16 + 2.0 * 16 * 32 + 2.0 * 20 * 16;
  EXPECT_DOUBLE_EQ(operations([](Given& all) { all.options.encoder.layers = 3; }) - base, 6 * 20 * block);
  EXPECT_DOUBLE_EQ(operations([](Given& all) { all.options.encoder.activation_checkpointing = true; }) - base,
                   6 * 20 * 2 * block / 3);
  EXPECT_GT(operations([](Given& all) { all.manifest.tasks[0] = task("topic", Kind::classification, 1000, 40); }),
            2 * base);
}

TEST(Plan, WorkersOfANodeShareIt) {
  const Given all = given();
  const auto compute = [&](std::int64_t slots) {
    const Plan plan = make_plan(all.options, all.manifest, {.slots = slots}, {.workers = 4, .per_node = 4});
    return plan.step.compute + plan.step.imbalance;
  };
  EXPECT_NEAR(compute(1), make_plan(all.options, all.manifest, {}, {.workers = 1}).step.compute, 1e-12);
  EXPECT_LT(compute(4), 0.5 * compute(1));
  EXPECT_DOUBLE_EQ(compute(4), compute(8));
}

TEST(Plan, WorkersOfANodeSlowEachOther) {
  const Given all = given();
  const Machine machine{.slots = 4, .crowding = 1.6};
  const auto seconds = [&](int workers, int per_node) {
    return make_plan(all.options, all.manifest, machine, {.workers = workers, .per_node = per_node}).tasks[0].seconds;
  };
  const double full = seconds(8, 4);
  EXPECT_DOUBLE_EQ(full, plan_of(all, 8).tasks[0].seconds);  // as measured
  EXPECT_DOUBLE_EQ(seconds(8, 1), full / 1.6);
  EXPECT_DOUBLE_EQ(seconds(2, 4), full * 1.2 / 1.6);
  EXPECT_DOUBLE_EQ(seconds(8, 8), full);  // more than slots take turns
  const Plan one = make_plan(all.options, all.manifest, machine, {.workers = 1, .per_node = 4});
  EXPECT_NEAR(one.efficiency, 1, 1e-9);
  Given even = all;
  even.options.mixture.phases.front().mixture.kind = "uniform";
  for (auto& [name, own] : even.options.task_options) own.cost = 1, own.workers = {0, 1};
  const Plan two = make_plan(even.options, even.manifest, {.slots = 2, .crowding = 1.6}, {.workers = 2, .per_node = 2});
  EXPECT_LT(two.efficiency, 1 / 1.59);
  EXPECT_EQ(two.limit, "caches and memory of a node: its workers compute 1.60 times as long as one alone");
}

TEST(Plan, SaysWhatBoundsIt) {
  Given all = given();
  const auto limit = [&](const Machine& machine, int workers) {
    return make_plan(all.options, all.manifest, machine, {.workers = workers, .per_node = 1}).limit;
  };
  EXPECT_EQ(limit({}, 1), "one worker: none");
  EXPECT_NE(limit({.bandwidth = 1e6}, 4).find("bandwidth between nodes"), std::string::npos);
  EXPECT_NE(limit({.latency = 1}, 4).find("latency between nodes"), std::string::npos);
  EXPECT_NE(limit({.parameter_seconds = 1}, 4).find("the update"), std::string::npos);
  const Machine slow{.operations = 1e6};
  EXPECT_NE(limit(slow, 200).find("workers have no sample"), std::string::npos);
  all.options.task_options["en-it"].workers = {0};
  EXPECT_NE(limit(slow, 5).find("task en-it: worker 0 computes"), std::string::npos);
}

TEST(Plan, WeightsOfSamplesAreSentToo) {
  Given all = given();
  const PlannedWorker without = plan_of(all, 4).workers[0];
  all.manifest.tasks[1].weights = true;
  const PlannedWorker with = plan_of(all, 4).workers[0];
  EXPECT_NEAR(with.sent - without.sent, 2 * 3.0 / 4 * 5 * sizeof(double), 1e-6);  // a ring all-reduce of five numbers
  EXPECT_GT(with.communication, without.communication);
}

TEST(Plan, WrongPins) {
  Given all = given();
  all.options.task_options["tags"].workers = {1, 4};
  try {
    plan_of(all, 4);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::config);
    EXPECT_NE(std::string(error.what()).find("task.tags.workers names worker 4, but there are 4 workers, from 0 to 3"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace polyhead
