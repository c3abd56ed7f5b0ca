// Average linkage and the best partition against hand-computed cases and enumeration.
#include "core/metrics/grouping.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "core/base/counter_random.h"
#include "tests/core/expect_error.h"

namespace polyhead {
namespace {

SquareMatrix matrix(const std::vector<std::vector<double>>& rows) {
  SquareMatrix out(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j < rows.size(); ++j) out(i, j) = rows[i][j];
  return out;
}

SquareMatrix random_matrix(std::size_t size, std::uint64_t seed) {
  SquareMatrix out(size);
  for (std::size_t i = 0; i < size; ++i)
    for (std::size_t j = 0; j < size; ++j) out(i, j) = unit(draw(seed, i * size + j)) - 0.3;
  return out;
}

// Items 1 and 3 are nearest (1), then 0 and 2 (2); the mean of the four distances between these pairs is 6.
TEST(Linkage, AverageOfFour) {
  const auto merges = average_linkage(matrix({{0, 4, 2, 6}, {4, 0, 8, 1}, {2, 8, 0, 6}, {6, 1, 6, 0}}));
  ASSERT_EQ(merges.size(), 3U);
  EXPECT_EQ(merges[0].left, 1U);
  EXPECT_EQ(merges[0].right, 3U);
  EXPECT_DOUBLE_EQ(merges[0].distance, 1);
  EXPECT_EQ(merges[1].left, 0U);
  EXPECT_EQ(merges[1].right, 2U);
  EXPECT_DOUBLE_EQ(merges[1].distance, 2);
  EXPECT_EQ(merges[2].left, 5U);  // the cluster of item 0
  EXPECT_EQ(merges[2].right, 4U);
  EXPECT_DOUBLE_EQ(merges[2].distance, 6);
  EXPECT_EQ(merges[2].size, 4U);
  EXPECT_EQ(leaf_order(merges), (std::vector<std::size_t>{0, 2, 1, 3}));
  EXPECT_EQ(cut(merges, 1), (Groups{{0, 1, 2, 3}}));
  EXPECT_EQ(cut(merges, 2), (Groups{{0, 2}, {1, 3}}));
  EXPECT_EQ(cut(merges, 3), (Groups{{0}, {1, 3}, {2}}));
  EXPECT_EQ(cut(merges, 4), (Groups{{0}, {1}, {2}, {3}}));
}

// A cluster of two counts twice in the mean: (2 · 4 + 1 · 10) / 3 would be wrong for single or complete linkage.
TEST(Linkage, WeighsClustersByTheirItems) {
  const auto merges = average_linkage(matrix({{0, 1, 3, 4}, {1, 0, 3, 4}, {3, 3, 0, 10}, {4, 4, 10, 0}}));
  EXPECT_DOUBLE_EQ(merges[1].distance, 3);
  EXPECT_DOUBLE_EQ(merges[2].distance, 6);
}

TEST(Linkage, EqualDistancesAreMergedInOrder) {
  const auto merges = average_linkage(matrix({{0, 1, 1, 1}, {1, 0, 1, 1}, {1, 1, 0, 1}, {1, 1, 1, 0}}));
  EXPECT_EQ(merges[0].left, 0U);
  EXPECT_EQ(merges[0].right, 1U);
  EXPECT_EQ(merges[1].left, 4U);
  EXPECT_EQ(merges[1].right, 2U);
  EXPECT_EQ(leaf_order(merges), (std::vector<std::size_t>{0, 1, 2, 3}));
}

TEST(Linkage, OneItem) {
  const auto merges = average_linkage(matrix({{0}}));
  EXPECT_TRUE(merges.empty());
  EXPECT_EQ(leaf_order(merges), (std::vector<std::size_t>{0}));
  EXPECT_EQ(cut(merges, 1), (Groups{{0}}));
  expect_error([&] { cut(merges, 2); }, Exit::internal, {"cut: 2 groups of 1 items"});
  expect_error([&] { cut(merges, 0); }, Exit::internal, {"cut: 0 groups of 1 items"});
}

// Task 0 gives task 1 the affinity 4 and gets 2; task 2 is harmed by both.
TEST(Partition, MeanAffinityWithinGroups) {
  const SquareMatrix affinity = matrix({{9, 4, -1}, {2, 9, -3}, {0, -2, 9}});
  EXPECT_DOUBLE_EQ(affinity_within(affinity, {{0, 1, 2}}), (4 - 1 + 2 - 3 + 0 - 2) / 2.0 / 3);
  EXPECT_DOUBLE_EQ(affinity_within(affinity, {{0, 1}, {2}}), 2);
  EXPECT_DOUBLE_EQ(affinity_within(affinity, {{0}, {1}, {2}}), 0);
  EXPECT_DOUBLE_EQ(affinity_within(affinity, {}), 0);
  EXPECT_EQ(best_partition(affinity, 1), (Groups{{0, 1, 2}}));
  EXPECT_EQ(best_partition(affinity, 2), (Groups{{0, 1}, {2}}));
  EXPECT_EQ(best_partition(affinity, 3), (Groups{{0}, {1}, {2}}));
}

TEST(Partition, TiesGoToTheFirstOne) {
  EXPECT_EQ(best_partition(SquareMatrix(4), 2), (Groups{{0}, {1, 2, 3}}));
  // In decimals, 0.1 + 0.2 + 0.3 depends on the order of summation.
  const SquareMatrix even = matrix({{0, .1, .1, .1}, {.1, 0, .1, .1}, {.1, .1, 0, .1}, {.1, .1, .1, 0}});
  EXPECT_EQ(best_partition(even, 2), (Groups{{0, 1}, {2, 3}}));
}

void for_each_partition(std::size_t items, const std::function<void(const Groups&)>& visit) {
  Groups groups;
  const std::function<void(std::size_t)> place = [&](std::size_t item) {
    if (item == items) return visit(groups);
    for (std::size_t g = 0; g < groups.size(); ++g) {
      groups[g].push_back(item);
      place(item + 1);
      groups[g].pop_back();
    }
    groups.push_back({item});
    place(item + 1);
    groups.pop_back();
  };
  place(0);
}

TEST(Partition, EqualsEnumeration) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const std::size_t items = 2 + seed % 6;
    const SquareMatrix affinity = random_matrix(items, seed);
    std::vector<double> best(items + 1, -1e9);
    for_each_partition(items, [&](const Groups& groups) {
      best[groups.size()] = std::max(best[groups.size()], affinity_within(affinity, groups));
    });
    for (std::size_t groups = 1; groups <= items; ++groups) {
      const Groups found = best_partition(affinity, groups);
      EXPECT_EQ(found.size(), groups);
      EXPECT_NEAR(affinity_within(affinity, found), best[groups], 1e-12);
    }
  }
}

TEST(Partition, TheLargestSize) {
  const SquareMatrix affinity = random_matrix(kMaxExactItems, 5);
  const Groups found = best_partition(affinity, 3);
  std::vector<std::size_t> all;
  for (const auto& group : found) all.insert(all.end(), group.begin(), group.end());
  std::ranges::sort(all);
  for (std::size_t i = 0; i < kMaxExactItems; ++i) EXPECT_EQ(all.at(i), i);
  SquareMatrix distance = affinity;
  for (std::size_t i = 0; i < kMaxExactItems; ++i)
    for (std::size_t j = 0; j < i; ++j) distance(i, j) = 1 - (affinity(i, j) + affinity(j, i)) / 2;
  EXPECT_GE(affinity_within(affinity, found), affinity_within(affinity, cut(average_linkage(distance), 3)));
}

TEST(Partition, WrongUse) {
  expect_error([] { best_partition(SquareMatrix(3), 0); }, Exit::internal, {"0 groups of 3 items"});
  expect_error([] { best_partition(SquareMatrix(3), 4); }, Exit::internal, {"4 groups of 3 items"});
  expect_error([] { best_partition(SquareMatrix(kMaxExactItems + 1), 2); }, Exit::internal, {"2 groups of 17 items"});
}

}  // namespace
}  // namespace polyhead
