// Differences of two systems, and their mean against published tables.
#include "core/metrics/comparison.h"

#include <gtest/gtest.h>

#include <cmath>

namespace polyhead {
namespace {

using Rows = std::vector<std::vector<double>>;

// Two seeds of one row each whose ratio is `value`.
Rows constant(double value) {
  return {{2 * value, 2}, {value, 1}};
}

TEST(Compare, LowerIsBetterTurnsTheSign) {
  const Rows first = constant(2), second = constant(2.5);
  const std::vector<PairedRows> tasks = {{first, second, false}, {first, second, true}};
  const Differences found = compare(tasks, 100);
  EXPECT_NEAR(found.tasks[0].difference, 0.5, 1e-12);
  EXPECT_TRUE(found.tasks[0].gained());
  EXPECT_NEAR(found.tasks[1].relative, -0.25, 1e-12);
  EXPECT_TRUE(found.tasks[1].lost());
  EXPECT_EQ(found.tasks[1].samples, 1U);
  EXPECT_NEAR(found.delta_m, 0, 1e-12);
}

TEST(Compare, ATaskAtZeroHasNoRelativeDifference) {
  const Rows first = constant(0), second = constant(1);
  const std::vector<PairedRows> tasks = {{first, second, false}};
  const Differences found = compare(tasks, 100);
  EXPECT_TRUE(std::isnan(found.tasks[0].relative));
  EXPECT_TRUE(std::isnan(found.delta_m));
  EXPECT_TRUE(std::isnan(found.delta_m_interval.low));
}

// Single tasks and linear scalarisation on NYUv2 as FAMO's paper prints them: segmentation (higher), depth and normals.
TEST(Compare, DeltaMIsThatOfThePapers) {
  const std::vector<double> single = {38.30, 63.76, 0.6754, 0.2780, 25.01, 19.21, 30.14, 57.20, 69.15};
  const std::vector<double> joint = {39.29, 65.33, 0.5493, 0.2263, 28.15, 23.96, 22.09, 47.50, 61.08};
  const std::vector<bool> higher = {true, true, false, false, false, false, true, true, true};
  std::vector<Rows> first, second;
  for (const double value : single) first.push_back(constant(value));
  for (const double value : joint) second.push_back(constant(value));
  std::vector<PairedRows> tasks;
  for (std::size_t i = 0; i < single.size(); ++i) tasks.push_back({first[i], second[i], !higher[i]});
  EXPECT_NEAR(-100 * compare(tasks, 100).delta_m, 5.59, 0.01);
}

}  // namespace
}  // namespace polyhead
