// Affinities against hand-computed ones, and steps from which no affinity follows.
#include "core/metrics/affinity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/core/expect_error.h"

namespace polyhead {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A step of two tasks.
GradientStep two(double lr, double norm_0, double norm_1, double cosine, double loss_0, double loss_1) {
  GradientStep step{lr, {0, 1}, {norm_0, norm_1}, {loss_0, loss_1}, SquareMatrix(2)};
  step.cosine(1, 0) = cosine;
  return step;
}

// <g_0, g_1> = 2 · 1 · 0.5 = 1, so task 0 takes 0.1 · 1 / 2 of the loss of task 1, and task 1 takes 0.1 · 1 / 4 of
// that of task 0.
TEST(Affinity, OneStep) {
  AffinitySums sums;
  sums.add(two(0.1, 2, 1, 0.5, 4, 2));
  const Affinity found = sums.result();
  ASSERT_EQ(found.tasks, 2U);
  EXPECT_EQ(found.steps, 1);
  EXPECT_EQ(found.task_steps, (std::vector<std::int64_t>{1, 1}));
  EXPECT_DOUBLE_EQ(found.pair(0, 1).affinity.mean, 0.05);
  EXPECT_DOUBLE_EQ(found.pair(1, 0).affinity.mean, 0.025);
  EXPECT_DOUBLE_EQ(found.pair(0, 0).affinity.mean, 0.1);
  EXPECT_DOUBLE_EQ(found.pair(1, 1).affinity.mean, 0.05);
  EXPECT_DOUBLE_EQ(found.pair(0, 1).symmetric.mean, 0.0375);
  EXPECT_DOUBLE_EQ(found.pair(1, 0).symmetric.mean, 0.0375);
  EXPECT_DOUBLE_EQ(found.pair(1, 0).cosine.mean, 0.5);
  EXPECT_DOUBLE_EQ(found.pair(0, 0).cosine.mean, 1);
  EXPECT_DOUBLE_EQ(found.pair(0, 1).conflicts, 0);
  EXPECT_TRUE(std::isnan(found.pair(0, 1).cosine_spread) && std::isnan(found.pair(0, 1).affinity.interval.low));
}

TEST(Affinity, TwoStepsOfTwoLearningRates) {
  AffinitySums sums;
  sums.add(two(0.1, 2, 1, 0.5, 4, 2));
  sums.add(two(0.2, 1, 1, -0.5, 1, 0.5));  // -0.2 and -0.1
  const Affinity found = sums.result();
  EXPECT_EQ(found.blocks, 2U);
  EXPECT_NEAR(found.pair(0, 1).affinity.mean, -0.075, 1e-15);
  EXPECT_NEAR(found.pair(1, 0).affinity.mean, -0.0375, 1e-15);
  EXPECT_NEAR(found.pair(1, 0).symmetric.mean, -0.05625, 1e-15);
  EXPECT_NEAR(found.pair(0, 1).affinity.interval.high, -0.075 + 0.125 * student_quantile(1), 1e-12);
  EXPECT_NEAR(found.pair(0, 1).cosine.mean, 0, 1e-15);
  EXPECT_NEAR(found.pair(0, 1).cosine_spread, std::sqrt(0.5), 1e-12);
  EXPECT_DOUBLE_EQ(found.pair(0, 1).conflicts, 0.5);
}

// It is the share by which a plain gradient step lowers a loss, here (x - a)^2 + 1 and (x - b)^2 + 1 of one parameter.
TEST(Affinity, IsTheEffectOfASmallStep) {
  const double x = 0.3, a = 1.5, b = -2, lr = 1e-6;
  const auto loss = [](double at, double target) { return (at - target) * (at - target) + 1; };
  const double g_a = 2 * (x - a), g_b = 2 * (x - b);
  AffinitySums sums;
  sums.add(two(lr, std::abs(g_a), std::abs(g_b), g_a * g_b > 0 ? 1 : -1, loss(x, a), loss(x, b)));
  const double seen = 1 - loss(x - lr * g_a, b) / loss(x, b);
  EXPECT_LT(seen, 0);
  EXPECT_NEAR(sums.result().pair(0, 1).affinity.mean / seen, 1, 1e-5);
}

TEST(Affinity, OrderOfTheTasksInALine) {
  GradientStep turned = two(0.1, 1, 2, 0.5, 2, 4);
  turned.tasks = {1, 0};
  AffinitySums sums;
  sums.add(turned);
  EXPECT_DOUBLE_EQ(sums.result().pair(0, 1).affinity.mean, 0.05);
  EXPECT_DOUBLE_EQ(sums.result().pair(1, 0).affinity.mean, 0.025);
}

// Task 2 comes when the sums already have a block, and task 0 is absent then.
TEST(Affinity, OnlyStepsInWhichBothAreActive) {
  AffinitySums sums;
  sums.add(two(0.1, 2, 1, 0.5, 4, 2));
  GradientStep later = two(0.1, 1, 1, 0.25, 1, 1);
  later.tasks = {1, 2};
  sums.add(later);
  const Affinity found = sums.result();
  ASSERT_EQ(found.tasks, 3U);
  EXPECT_EQ(found.task_steps, (std::vector<std::int64_t>{1, 2, 1}));
  EXPECT_EQ(found.pair(0, 1).affinity.steps, 1);
  EXPECT_DOUBLE_EQ(found.pair(1, 2).affinity.mean, 0.025);
  EXPECT_EQ(found.pair(0, 2).affinity.steps, 0);
  EXPECT_TRUE(std::isnan(found.pair(0, 2).affinity.mean) && std::isnan(found.pair(2, 0).cosine.mean));
  EXPECT_DOUBLE_EQ(mean_affinity(found)(0, 2), 0);
  EXPECT_DOUBLE_EQ(mean_affinity(found)(0, 1), 0.05);
  EXPECT_DOUBLE_EQ(mean_affinity(found)(1, 1), 0);
  EXPECT_DOUBLE_EQ(mean_cosine(found)(2, 1), 0.25);
}

TEST(Affinity, LossesThatAreNotAboveZero) {
  for (const double loss : {0.0, -3.0, std::nan(""), kInfinity}) {
    AffinitySums sums;
    sums.add(two(0.1, 2, 1, 0.5, loss, 2));
    const Affinity found = sums.result();
    EXPECT_DOUBLE_EQ(found.pair(0, 1).affinity.mean, 0.05) << loss;
    EXPECT_TRUE(std::isnan(found.pair(1, 0).affinity.mean) && std::isnan(found.pair(1, 0).symmetric.mean)) << loss;
    EXPECT_DOUBLE_EQ(found.pair(0, 1).cosine.mean, 0.5);
  }
}

TEST(Affinity, GradientsThatAreZeroOrNotFinite) {
  AffinitySums zero, broken;
  zero.add(two(0.1, 0, 1, std::nan(""), 4, 2));
  EXPECT_DOUBLE_EQ(zero.result().pair(0, 1).affinity.mean, 0);
  EXPECT_EQ(zero.result().pair(0, 1).cosine.steps, 0);
  EXPECT_EQ(zero.result().pair(1, 1).cosine.steps, 1);
  for (const double norm : {std::nan(""), kInfinity}) broken.add(two(0.1, norm, 1, 0.5, 4, 2));
  broken.add(two(0.1, 1, 1, std::nan(""), 4, 2));
  broken.add(two(std::nan(""), 1, 1, 0.5, 4, 2));
  EXPECT_EQ(broken.result().steps, 4);
  EXPECT_EQ(broken.result().pair(0, 1).affinity.steps, 0);
  EXPECT_EQ(broken.result().pair(0, 1).cosine.steps, 1);  // the learning rate does not matter
}

// Many steps are merged into few blocks, and the mean and the interval do not depend on when.
TEST(Affinity, ALongRun) {
  AffinitySums sums;
  double sum = 0;
  for (int step = 0; step < 1000; ++step) {
    sums.add(two(1, 1, 1, step % 7 == 0 ? -0.5 : 0.25, 1, 1));
    sum += step % 7 == 0 ? -0.5 : 0.25;
  }
  const Affinity found = sums.result();
  EXPECT_EQ(found.steps, 1000);
  EXPECT_EQ(found.blocks, 32U);  // of 32 steps, the last of 8
  const Estimate& mean = found.pair(0, 1).affinity;
  EXPECT_NEAR(mean.mean, sum / 1000, 1e-12);
  EXPECT_EQ(mean.steps, 1000);
  EXPECT_LT(mean.interval.low, mean.mean);
  EXPECT_GT(mean.interval.low, mean.mean - 0.03);
  std::vector<BlockSum> blocks(32);
  for (std::size_t step = 0; step < 1000; ++step) blocks[step / 32].add(step % 7 == 0 ? -0.5 : 0.25);
  EXPECT_NEAR(mean.interval.low, mean_over_blocks(blocks).interval.low, 1e-12);
}

TEST(Affinity, OneTaskAndNone) {
  AffinitySums sums;
  EXPECT_EQ(sums.result().tasks, 0U);
  sums.add({});
  EXPECT_EQ(sums.result().tasks, 0U);
  sums.add({0.1, {0}, {2}, {4}, SquareMatrix(1)});
  EXPECT_EQ(sums.result().steps, 2);
  EXPECT_DOUBLE_EQ(sums.result().pair(0, 0).affinity.mean, 0.1);
}

TEST(Affinity, SizesThatDiffer) {
  AffinitySums sums;
  GradientStep step = two(0.1, 2, 1, 0.5, 4, 2);
  step.loss.pop_back();
  expect_error([&] { sums.add(step); }, Exit::internal, {"2 tasks, 2 norms, 1 losses, 2 rows"});
}

}  // namespace
}  // namespace polyhead
