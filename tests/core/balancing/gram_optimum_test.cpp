// The conditions that define MGDA, CAGrad, Nash-MTL, FairGrad, IMTL-G, ConFIG, Aligned-MTL and Krum.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/balancing/nonnegative_qp.h"
#include "core/balancing/symmetric_eigen.h"
#include "tests/core/balancing/gram_problems.h"

namespace polyhead {
namespace {

// The sum of the lengths of the terms of a direction: what its rounding is relative to.
double terms(const Rows& rows, const std::vector<double>& weights) {
  double total = 0;
  for (std::size_t t = 0; t < rows.size(); ++t) total += std::abs(weights[t]) * norm_of(rows[t]);
  return total;
}

// Whether some combination of the gradients with weights >= 0 is far from 0, compared with its terms.
bool far_from_stationary(const Rows& rows) {
  Rows units = rows;
  for (std::vector<double>& row : units) {
    const double norm = norm_of(row);
    for (double& value : row) value /= norm;
  }
  return norm_of(combination(units, weights_of("mgda", gram_of(units)))) > 1e-3;
}

TEST(NonnegativeQp, SatisfiesTheConditionsOfTheOptimum) {
  for (const Rows& rows : hard_problems()) {
    const std::size_t n = rows.size();
    SquareMatrix matrix = gram_of(rows);
    std::vector<double> norm(n), b(n);
    for (std::size_t i = 0; i < n; ++i) norm[i] = std::sqrt(matrix(i, i));
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) matrix(i, j) /= norm[i] * norm[j];
      matrix(i, i) += 1e-8;
      b[i] = std::sin(static_cast<double>(7 * i + 1));
    }
    NonnegativeQp program(matrix, 0);
    for (int call = 0; call < 2; ++call) {  // the second one starts from another solution
      ASSERT_TRUE(program.solve(b));
      const std::vector<double> products = product(matrix, program.x());
      const double rounding = 1e-11 * (1 + sum(program.x()));
      for (std::size_t i = 0; i < n; ++i) {
        EXPECT_GE(program.x()[i], 0);
        EXPECT_GE(products[i] - b[i], -rounding);
        if (program.x()[i] > 0) {
          EXPECT_NEAR(products[i], b[i], rounding);
        }
      }
      for (double& value : b) value += 0.3;
    }
  }
}

TEST(NonnegativeQp, FindsThatThereIsNoMinimum) {
  SquareMatrix matrix(2);
  matrix(0, 0) = matrix(1, 1) = 1;
  matrix(0, 1) = matrix(1, 0) = -1;
  NonnegativeQp program(matrix, 1e-9);
  EXPECT_FALSE(program.solve({1, 1}));
  EXPECT_TRUE(program.solve({1, -2}));
  EXPECT_EQ(program.x(), (std::vector<double>{1, 0}));
}

TEST(GrowingCholesky, SolvesAfterRowsAreAppendedAndRemoved) {
  const SquareMatrix gram = gram_of(random_gradients(6, 20, 1));
  std::vector<std::size_t> rows;
  GrowingCholesky factor(6);
  const auto append = [&](std::size_t row) {
    std::vector<double> products;
    for (const std::size_t other : rows) products.push_back(gram(row, other));
    ASSERT_TRUE(factor.append(products, gram(row, row), 0));
    rows.push_back(row);
  };
  const auto remove = [&](std::size_t position) {
    factor.remove(position);
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(position));
  };
  for (std::size_t row = 0; row < 6; ++row) append(row);
  remove(2);
  remove(0);
  append(2);
  remove(4);
  ASSERT_EQ(factor.size(), 4U);
  std::vector<double> x = {1, -2, 3, 0.5};
  const std::vector<double> right = x;
  factor.solve(x);
  for (std::size_t i = 0; i < 4; ++i) {
    double found = 0;
    for (std::size_t j = 0; j < 4; ++j) found += gram(rows[i], rows[j]) * x[j];
    EXPECT_NEAR(found, right[i], 1e-12);
  }
  EXPECT_FALSE(factor.append(std::vector<double>{gram(rows[0], rows[0]), gram(rows[0], rows[1]), gram(rows[0], rows[2]),
                                                 gram(rows[0], rows[3])},
                             gram(rows[0], rows[0]), 1e-12));
  EXPECT_EQ(factor.size(), 4U);
}

TEST(Mgda, NoGradientHasASmallerProductWithTheDirection) {
  for (const Rows& rows : hard_problems()) {
    const std::vector<double> weights = weights_of("mgda", gram_of(rows));
    const std::vector<double> direction = combination(rows, weights);
    EXPECT_NEAR(sum(weights), 1, 1e-12);
    const double rounding = 1e-9 * terms(rows, weights);
    for (std::size_t t = 0; t < rows.size(); ++t) {
      EXPECT_GE(weights[t], 0);
      EXPECT_GE(dot(direction, rows[t]), dot(direction, direction) - rounding * norm_of(rows[t]));
    }
  }
}

TEST(Mgda, TwoTasks) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const SquareMatrix gram = gram_of(random_gradients(2, 3, seed, 1));
    const double first = std::clamp((gram(1, 1) - gram(0, 1)) / (gram(0, 0) + gram(1, 1) - 2 * gram(0, 1)), 0.0, 1.0);
    expect_near(weights_of("mgda", gram), {first, 1 - first}, 1e-9);
  }
}

TEST(Mgda, DividesGradientsFirst) {
  const Rows rows = random_gradients(4, 30, 21, 2);
  const std::vector<double> loss = {0.5, 4, 2, 0.1};
  for (const MgdaNormalize normalize : {MgdaNormalize::l2, MgdaNormalize::loss, MgdaNormalize::loss_l2}) {
    BalancerOptions options;
    options.mgda_normalize = normalize;
    Rows divided = rows;
    std::vector<double> divisor(4, 1);
    for (std::size_t t = 0; t < 4; ++t) {
      if (normalize != MgdaNormalize::loss) divisor[t] *= norm_of(rows[t]);
      if (normalize != MgdaNormalize::l2) divisor[t] *= loss[t];
      for (double& value : divided[t]) value /= divisor[t];
    }
    std::vector<double> expected = weights_of("mgda", gram_of(divided));
    for (std::size_t t = 0; t < 4; ++t) expected[t] /= divisor[t];
    BalanceInput input = input_of(gram_of(rows));
    input.loss = loss;
    expect_near(make_method("mgda", 4, options)->weights(input), expected, 1e-9);
  }
  BalancerOptions options;
  options.mgda_normalize = MgdaNormalize::loss;
  BalanceInput input = input_of(gram_of({{1, 0}, {0, 2}}));
  input.loss = {1, std::nan("")};
  EXPECT_EQ(make_method("mgda", 2, options)->weights(input), (std::vector<double>{0.5, 0.5}));
}

TEST(CaGrad, MaximisesTheSmallestProductWithinTheBall) {
  for (const double c : {0.1, 0.4, 0.9}) {
    BalancerOptions options;
    options.cagrad_c = c;
    for (const Rows& rows : hard_problems()) {
      if (!far_from_stationary(rows)) continue;
      const std::size_t n = rows.size();
      const std::vector<double> equal(n, 1 / static_cast<double>(n));
      const std::vector<double> mean = combination(rows, equal), weights = weights_of("cagrad", gram_of(rows), options);
      std::vector<double> change = combination(rows, weights);
      add_scaled(-1, mean, change);
      EXPECT_NEAR(norm_of(change), c * norm_of(mean), 1e-8 * norm_of(mean));
      // The weights that change the mean are on the gradients with the smallest product only.
      const std::vector<double> direction = combination(rows, weights);
      double smallest = INFINITY;
      for (const std::vector<double>& row : rows) smallest = std::min(smallest, dot(direction, row));
      for (std::size_t t = 0; t < n; ++t) {
        EXPECT_GE(weights[t], equal[t] * (1 - 1e-12));
        const double share = (weights[t] - equal[t]) * norm_of(rows[t]) / (terms(rows, weights) + 1e-300);
        EXPECT_LE(share * (dot(direction, rows[t]) - smallest), 1e-7 * norm_of(direction) * norm_of(rows[t])) << n;
      }
    }
  }
}

TEST(CaGrad, WithoutABallIsTheMean) {
  BalancerOptions options;
  options.cagrad_c = 0;
  for (const Rows& rows : hard_problems())
    EXPECT_EQ(weights_of("cagrad", gram_of(rows), options),
              std::vector<double>(rows.size(), 1 / static_cast<double>(rows.size())));
}

TEST(CaGrad, WithALargeBallFollowsMgda) {
  BalancerOptions options;
  options.cagrad_c = 1e7;
  const Rows rows = random_gradients(5, 40, 2, 1, 0.4);
  std::vector<double> found = combination(rows, weights_of("cagrad", gram_of(rows), options));
  std::vector<double> expected = combination(rows, weights_of("mgda", gram_of(rows)));
  for (double& value : found) value *= norm_of(expected) / 1;
  const double length = norm_of(found) / norm_of(expected);
  for (double& value : found) value /= length;
  expect_near(found, expected, 1e-4);
}

TEST(NashMtl, SatisfiesItsEquation) {
  for (const Rows& rows : hard_problems()) {
    if (!far_from_stationary(rows)) continue;
    const SquareMatrix gram = gram_of(rows);
    const std::vector<double> weights = weights_of("nash_mtl", gram), products = product(gram, weights);
    for (std::size_t t = 0; t < rows.size(); ++t) EXPECT_NEAR(products[t] * weights[t], 1, 1e-5) << rows.size();
    EXPECT_NEAR(quadratic_form(gram, weights) / static_cast<double>(rows.size()), 1, 1e-5);
  }
}

TEST(FairGrad, SatisfiesItsEquation) {
  for (const double alpha : {0.5, 1.0, 2.0, 5.0}) {
    BalancerOptions options;
    options.fairgrad_alpha = alpha;
    for (const Rows& rows : hard_problems()) {
      if (!far_from_stationary(rows)) continue;
      const SquareMatrix gram = gram_of(rows);
      const std::vector<double> weights = weights_of("fairgrad", gram, options), products = product(gram, weights);
      for (std::size_t t = 0; t < rows.size(); ++t)
        EXPECT_NEAR(products[t] * std::pow(weights[t], 1 / alpha), 1, 1e-4) << alpha << " " << rows.size();
    }
  }
}

TEST(FairGrad, WithAlphaOneIsNashMtl) {
  BalancerOptions options;
  options.fairgrad_alpha = 1;
  for (const Rows& rows : hard_problems())
    EXPECT_EQ(weights_of("fairgrad", gram_of(rows), options), weights_of("nash_mtl", gram_of(rows)));
}

TEST(NashMtl, OfTwoTasksIsTheSumOfUnitGradientsAsInImtlG) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Rows rows = random_gradients(2, 5, seed, 2);
    std::vector<double> expected = combination(rows, {1 / norm_of(rows[0]), 1 / norm_of(rows[1])});
    for (const std::string method : {"nash_mtl", "imtl_g"}) {
      std::vector<double> found = combination(rows, weights_of(method, gram_of(rows)));
      const double length = norm_of(found) / norm_of(expected);
      for (double& value : found) value /= length;
      expect_near(found, expected, 1e-8);
    }
  }
}

TEST(ImtlG, ProjectionsAreEqualAndWeightsSumToOne) {
  for (const Rows& rows : hard_problems()) {
    if (rows.size() > rows.front().size()) continue;  // no such direction
    const std::vector<double> weights = weights_of("imtl_g", gram_of(rows)), direction = combination(rows, weights);
    EXPECT_NEAR(sum(weights), 1, 1e-9);
    const double expected = dot(direction, rows[0]) / norm_of(rows[0]);
    for (const std::vector<double>& row : rows)
      EXPECT_NEAR(dot(direction, row) / norm_of(row), expected, 1e-8 * terms(rows, weights));
  }
}

TEST(ConFig, AnglesAreEqualAndTheLengthIsTheSumOfProjections) {
  for (const Rows& rows : hard_problems()) {
    if (rows.size() > rows.front().size()) continue;
    const std::vector<double> weights = weights_of("con_fig", gram_of(rows)), direction = combination(rows, weights);
    const double rounding = 1e-8 * terms(rows, weights), length = norm_of(direction);
    const double expected = dot(direction, rows[0]) / norm_of(rows[0]);
    double projections = 0;
    for (const std::vector<double>& row : rows) {
      EXPECT_NEAR(dot(direction, row) / norm_of(row), expected, rounding);
      projections += dot(direction, row) / length;
    }
    EXPECT_NEAR(length, projections, rounding);
    EXPECT_GT(expected, 0);
  }
}

TEST(AlignedMtl, TheAlignedGramMatrixIsAMultipleOfTheIdentity) {
  const Rows rows = random_gradients(6, 50, 4, 1, 0.5);
  const SquareMatrix gram = gram_of(rows);
  // Column i of B, from preference e_i.
  SquareMatrix balance(6), aligned(6);
  for (std::size_t i = 0; i < 6; ++i) {
    BalanceInput input = input_of(gram);
    input.static_weight.assign(6, 0);
    input.static_weight[i] = 1;
    const std::vector<double> column = make_method("aligned_mtl", 6)->weights(input);
    for (std::size_t j = 0; j < 6; ++j) balance(i, j) = column[j];
  }
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t j = 0; j < 6; ++j) aligned(i, j) = dot(product(gram, row_of(balance, i)), row_of(balance, j));
  const std::vector<double> values = symmetric_eigen(gram, std::vector<double>(6, 0)).values;
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t j = 0; j < 6; ++j) EXPECT_NEAR(aligned(i, j) / values.back(), i == j ? 1 : 0, 1e-9);
  // The other scales change the length only.
  const std::vector<double> smallest = weights_of("aligned_mtl", gram);
  for (const auto& [scale, value] :
       {std::pair(AlignedScale::median, values[3]), std::pair(AlignedScale::rmse, sum(values) / 6)}) {
    BalancerOptions options;
    options.aligned_mtl_scale = scale;
    std::vector<double> expected = smallest;
    for (double& weight : expected) weight *= std::sqrt(value / values.back());
    expect_near(weights_of("aligned_mtl", gram, options), expected, 1e-9);
  }
}

TEST(Krum, SelectsTheTasksInTheMiddle) {
  const Rows rows = {{1, 0}, {1.1, 0}, {0.9, 0.1}, {1, 0.05}, {-50, 7}};
  BalancerOptions options;
  options.krum_byzantine = 1;
  // The sums of the two smallest distances of the first four are 0.15, 0.21, 0.25 and 0.16.
  EXPECT_EQ(weights_of("krum", gram_of(rows), options), (std::vector<double>{1, 0, 0, 0, 0}));
  options.krum_selected = 4;
  EXPECT_EQ(weights_of("krum", gram_of(rows), options), (std::vector<double>{0.25, 0.25, 0.25, 0.25, 0}));
  options.krum_selected = 9;
  EXPECT_EQ(weights_of("krum", gram_of(rows), options), std::vector<double>(5, 0.2));
  options.krum_byzantine = 3;  // needs six tasks
  EXPECT_EQ(weights_of("krum", gram_of(rows), options), std::vector<double>(5, 0.2));
}

}  // namespace
}  // namespace polyhead
