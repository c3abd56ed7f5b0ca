// The figures of a report, by hand.
#include "core/balancing/gradient_report.h"

#include <gtest/gtest.h>

#include <cmath>

namespace polyhead {
namespace {

SquareMatrix gram_of(const std::vector<std::vector<double>>& rows) {
  SquareMatrix gram(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j < rows.size(); ++j) gram(i, j) = rows[i][j];
  return gram;
}

TEST(GradientReport, ThreeTasks) {
  // g = (1, 0), (0, 2), (-1, 0); the second task of four takes no part.
  const GradientReport report = gradient_report(
      {0, 2, 3}, gram_of({{1, 0, 0, -1}, {0, 0, 0, 0}, {0, 0, 4, 0}, {-1, 0, 0, 1}}), {0.5, 0, 0.25, 0.25});
  EXPECT_EQ(report.tasks, (std::vector<std::size_t>{0, 2, 3}));
  EXPECT_EQ(report.norms, (std::vector<double>{1, 2, 1}));
  EXPECT_EQ(report.cosine, (std::vector<std::vector<double>>{{}, {0}, {-1, 0}}));
  EXPECT_DOUBLE_EQ(report.conflict_share, 1.0 / 3);
  // d = (0.25, 0.5), d·d = 0.3125
  EXPECT_DOUBLE_EQ(report.update_share[0], 0.125 / 0.3125);
  EXPECT_DOUBLE_EQ(report.update_share[1], 0.25 / 0.3125);
  EXPECT_DOUBLE_EQ(report.update_share[2], -0.0625 / 0.3125);
  EXPECT_DOUBLE_EQ(report.worst_cosine, -0.25 / std::sqrt(0.3125));
  EXPECT_TRUE(report.condition > 1e15 || std::isinf(report.condition));  // the first and the last are parallel
}

TEST(GradientReport, ConditionOfTwo) {
  // The matrix of cosines has the eigenvalues 1.5 and 0.5.
  const GradientReport report = gradient_report({0, 1}, gram_of({{4, 3}, {3, 9}}), {0.5, 0.5});
  EXPECT_NEAR(report.condition, 3, 1e-12);
}

TEST(GradientReport, WhatIsNotDefinedIsNan) {
  const GradientReport zero = gradient_report({0, 1}, gram_of({{0, 0}, {0, 1}}), {0.5, 0.5});
  EXPECT_TRUE(std::isnan(zero.cosine[1][0]));
  EXPECT_TRUE(std::isnan(zero.worst_cosine));
  EXPECT_TRUE(std::isnan(zero.condition));
  EXPECT_EQ(zero.update_share, (std::vector<double>{0, 1}));
  const GradientReport still = gradient_report({0}, gram_of({{0}}), {1});  // the update is 0
  EXPECT_TRUE(std::isnan(still.update_share[0]));
  EXPECT_EQ(still.conflict_share, 0);
  EXPECT_TRUE(gradient_report({}, SquareMatrix(2), {0, 0}).tasks.empty());
}

}  // namespace
}  // namespace polyhead
