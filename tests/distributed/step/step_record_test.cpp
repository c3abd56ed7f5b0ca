// A step's record: the counts of a worker, and the sums over all workers.
#include "distributed/step/step_record.h"

#include <gtest/gtest.h>

#include "tests/distributed/world.h"

namespace polyhead {
namespace {

// Task 0 has two sequences of 3 and 4 tokens, task 2 one of 5 and a target of 2 tokens.
Batch some_batch() {
  Batch batch;
  batch.tokens.resize(12);
  batch.offsets = {0, 3, 7, 12};
  batch.keys = {1, 2, 3};
  TaskSlice two, one;
  two.task = 0;
  two.sequences = two.count = 2;
  one.task = 2;
  one.first_sequence = 2;
  one.sequences = 1;
  one.first_token = 7;
  one.target_tokens = {8, 3};
  one.count = 2;
  batch.slices = {two, one};
  return batch;
}

TEST(StepRecord, CountsTargetsWordsAndTokens) {
  StepRecord step(3, false);
  step.count(some_batch());
  step.count(some_batch());
  EXPECT_EQ(step.targets, (std::vector<std::int64_t>{4, 0, 4}));
  EXPECT_EQ(step.words, (std::vector<std::int64_t>{14, 0, 10}));
  EXPECT_EQ(step.tokens, 28);
  EXPECT_TRUE(step.active(0));
  EXPECT_FALSE(step.active(1));
}

TEST(StepRecord, CountsAreSumsOverWorkers) {
  const auto workers = static_cast<std::uint64_t>(world().size());
  StepRecord step(3, false);
  step.count(some_batch());
  step.ids = 0xffff'ffff'ffff'ffff;  // the sum wraps
  step.reduce_counts(world());
  const std::int64_t n = world().size();
  EXPECT_EQ(step.targets, (std::vector<std::int64_t>{2 * n, 0, 2 * n}));
  EXPECT_EQ(step.words, (std::vector<std::int64_t>{7 * n, 0, 5 * n}));
  EXPECT_EQ(step.tokens, 14 * n);
  EXPECT_EQ(step.ids, 0 - workers);
}

TEST(StepRecord, WeightedCountsAreSumsOverWorkers) {
  const double n = world().size();
  Batch batch = some_batch();
  batch.slices[0].weights = {0.5, 0};
  batch.slices[0].weighted_count = 0.5;
  StepRecord step(3, false, true);
  step.count(batch);
  step.reduce_counts(world());
  EXPECT_EQ(step.weighted, (std::vector<double>{0.5 * n, 0, 2 * n}));  // a task without weights has its targets
  EXPECT_EQ(step.targets.front(), 2 * world().size());
  step.loss[0] = 3 * n;
  EXPECT_EQ(step.mean_loss(0), 6);
  EXPECT_TRUE(step.active(0));
  EXPECT_FALSE(step.active(1));

  batch.slices[0].weights = {0, 0};
  batch.slices[0].weighted_count = 0;
  StepRecord none(3, false, true);
  none.count(batch);
  none.reduce_counts(world());
  EXPECT_GT(none.targets[0], 0);
  EXPECT_FALSE(none.active(0));
  EXPECT_TRUE(none.active(2));
}

TEST(StepRecord, OneWorkersFlagIsThatOfAll) {
  const int last = world().size() - 1;
  for (const bool plain : {false, true}) {
    StepRecord step(2, plain);
    step.targets = {4, 2};
    step.loss = {1.0 * world().size(), 3};
    if (plain) step.plain_loss = {0.5, 2};
    step.waited = 0.25;
    step.finite = world().rank() != last;
    step.save = world().rank() == 0;
    step.reduce_outcome(world());
    EXPECT_FALSE(step.finite);
    EXPECT_TRUE(step.save);
    EXPECT_FALSE(step.interrupted);
    EXPECT_EQ(step.mean_loss(0), 0.25 * world().size() * world().size());
    EXPECT_EQ(step.mean_loss(1), 1.5 * world().size());
    if (plain) {
      EXPECT_EQ(step.mean_plain_loss(1), 1.0 * world().size());
    }
    EXPECT_EQ(step.waited, 0.25 * world().size());
  }
  StepRecord step(2, false);
  step.interrupted = world().rank() == last;
  step.reduce_outcome(world());
  EXPECT_TRUE(step.finite);
  EXPECT_TRUE(step.interrupted);
  EXPECT_FALSE(step.save);
}

TEST(StepRecord, SaysHowManyBytesItsAllReducesHave) {
  EXPECT_EQ(StepRecord::count_bytes(5), 8u * (5 + 1 + 1 + 5));  // targets, tokens, ids, words
  EXPECT_EQ(StepRecord::outcome_bytes(5), 8u * (5 + 4));        // losses, three flags, seconds waited
}

}  // namespace
}  // namespace polyhead
