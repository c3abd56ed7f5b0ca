// Correlations against hand-computed ones. tests/python compares them with scipy.
#include "core/metrics/correlation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/expect_error.h"

namespace polyhead {
namespace {

using List = std::vector<double>;

TEST(Correlation, Spearman) {
  EXPECT_DOUBLE_EQ(spearman(List{1, 2, 3}, List{10, 100, 1000}), 1);
  EXPECT_DOUBLE_EQ(spearman(List{1, 2, 3}, List{5, 4, -7}), -1);
  // 1 - 6 Σd² / (n (n² - 1)) with d = 1, 1, 0, 0
  EXPECT_NEAR(spearman(List{1, 2, 3, 4}, List{2, 1, 3, 4}), 0.8, 1e-12);
  // ranks 1.5, 1.5, 3 and 1, 2, 3
  EXPECT_NEAR(spearman(List{7, 7, 8}, List{1, 2, 3}), std::sqrt(0.75), 1e-12);
  EXPECT_NEAR(pearson(List{0, 1, 2}, List{1, 0, 4}), 3 / std::sqrt(2 * (26.0 / 3)), 1e-12);
}

TEST(Correlation, NotDefined) {
  EXPECT_TRUE(std::isnan(spearman(List{}, List{})));
  EXPECT_TRUE(std::isnan(spearman(List{1}, List{1})));
  EXPECT_TRUE(std::isnan(spearman(List{1, 1, 1}, List{1, 2, 3})));
  EXPECT_TRUE(std::isnan(pearson(List{1, 2, 3}, List{4, 4, 4})));
}

TEST(Correlation, IntervalOfDraws) {
  const List x = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, y = {2, 1, 4, 3, 6, 5, 8, 7, 10, 9};
  const std::vector<std::size_t> apart = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, together = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4};
  const Interval single = spearman_interval(x, y, apart, 2000, 1);
  EXPECT_GT(single.low, 0.6);
  EXPECT_LT(single.low, spearman(x, y));
  EXPECT_LE(single.high, 1);
  EXPECT_GT(single.high, spearman(x, y));
  const Interval again = spearman_interval(x, y, apart, 2000, 1);
  EXPECT_EQ(again.low, single.low);
  // A cluster holds an inversion, so no draw is a perfect correlation.
  EXPECT_LT(spearman_interval(x, y, together, 2000, 1).high, 0.99);
}

TEST(Correlation, IntervalThatIsNotDefined) {
  const Interval none = spearman_interval(List{}, List{}, {}, 100, 1);
  EXPECT_TRUE(std::isnan(none.low) && std::isnan(none.high));
  const std::vector<std::size_t> clusters = {0, 1, 2};
  EXPECT_TRUE(std::isnan(spearman_interval(List{1, 2, 3}, List{4, 4, 4}, clusters, 100, 1).low));
  expect_error(
      [&] {
        spearman_interval(List{1, 2}, List{4, 4, 4}, clusters, 100, 1);
      },
      Exit::internal, {"2 and 3 values"});
  expect_error([&] { spearman_interval(List{1, 2, 3}, List{4, 4, 4}, clusters, 0, 1); }, Exit::internal, {"0 draws"});
}

}  // namespace
}  // namespace polyhead
