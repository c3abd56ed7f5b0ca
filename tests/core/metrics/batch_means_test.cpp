// Intervals from blocks of steps against hand-computed ones.
#include "core/metrics/batch_means.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace polyhead {
namespace {

TEST(BatchMeans, StudentsQuantiles) {
  // scipy.stats.t.ppf(0.975, degrees)
  EXPECT_NEAR(student_quantile(1), 12.706204736432095, 1e-9);
  EXPECT_NEAR(student_quantile(2), 4.302652729911275, 1e-9);
  EXPECT_NEAR(student_quantile(3), 3.182446305284263, 1e-9);
  EXPECT_NEAR(student_quantile(10), 2.2281388519649385, 1e-9);
  EXPECT_NEAR(student_quantile(31), 2.0395134463964077, 1e-9);
  EXPECT_NEAR(student_quantile(1000), 1.9623390808264078, 1e-9);
}

// With equal counts it is the textbook's mean and standard error of the block means 1, 3 and 5.
TEST(BatchMeans, EqualBlocks) {
  const Estimate found = mean_over_blocks(std::vector<BlockSum>{{2, 2}, {6, 2}, {10, 2}});
  EXPECT_DOUBLE_EQ(found.mean, 3);
  EXPECT_EQ(found.steps, 6);
  const double half = student_quantile(2) * 2 / std::sqrt(3.0);
  EXPECT_NEAR(found.interval.low, 3 - half, 1e-12);
  EXPECT_NEAR(found.interval.high, 3 + half, 1e-12);
}

// Means of 1 over 3 steps and of 5 over 1: m = 2, differences 3 - 3·2 = -3 and 5 - 2 = 3; 2 / 1 · 18 = 36, 6 / 4 = 1.5.
TEST(BatchMeans, UnequalBlocksAndEmptyOnes) {
  const Estimate found = mean_over_blocks(std::vector<BlockSum>{{0, 0}, {3, 3}, {0, 0}, {5, 1}});
  EXPECT_DOUBLE_EQ(found.mean, 2);
  EXPECT_NEAR(found.interval.high - found.mean, 1.5 * student_quantile(1), 1e-12);
}

TEST(BatchMeans, TooFewBlocks) {
  const Estimate none = mean_over_blocks(std::vector<BlockSum>{{0, 0}});
  EXPECT_TRUE(std::isnan(none.mean) && std::isnan(none.interval.low));
  EXPECT_EQ(none.steps, 0);
  const Estimate one = mean_over_blocks(std::vector<BlockSum>{{0, 0}, {3, 2}});
  EXPECT_DOUBLE_EQ(one.mean, 1.5);
  EXPECT_TRUE(std::isnan(one.interval.low) && std::isnan(one.interval.high));
}

}  // namespace
}  // namespace polyhead
