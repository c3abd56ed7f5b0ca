// Properties that several balancers of Gram matrices have, and their degenerate cases.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/core/balancing/gram_problems.h"

namespace polyhead {
namespace {

Rows scaled(Rows rows, const std::vector<double>& factor) {
  for (std::size_t t = 0; t < rows.size(); ++t)
    for (double& value : rows[t]) value *= factor[t];
  return rows;
}

TEST(GramBalancers, ReadTheGramMatrixAndReturnFiniteWeights) {
  for (const std::string& method : gram_methods()) {
    EXPECT_EQ(make_method(method, 3)->reads(), Balancer::Reads::gram) << method;
    for (const Rows& rows : hard_problems())
      for (const double weight : weights_of(method, gram_of(rows))) EXPECT_TRUE(std::isfinite(weight)) << method;
  }
}

TEST(GramBalancers, FollowThePermutationOfTheTasks) {
  const std::vector<std::size_t> order = {3, 0, 4, 1, 2};
  const Rows rows = random_gradients(5, 60, 3, 1, 0.3);
  Rows permuted;
  for (const std::size_t t : order) permuted.push_back(rows[t]);
  for (const std::string& method : gram_methods()) {
    if (method == "pcgrad" || method == "gradvac") continue;  // their random order depends on the task
    BalancerOptions options, other;
    options.primary = "t0";
    other.primary = "t1";  // where task 0 is after the permutation
    const std::vector<double> plain = weights_of(method, gram_of(rows), options);
    std::vector<double> expected;
    for (const std::size_t t : order) expected.push_back(plain[t]);
    SCOPED_TRACE(method);
    expect_near(weights_of(method, gram_of(permuted), other), expected, 1e-8);
  }
}

TEST(GramBalancers, ScaleWithAllGradients) {
  // If all gradients are multiplied by s, the weights are multiplied by s^power.
  const std::vector<std::pair<std::string, double>> powers = {
      {"pcgrad", 0}, {"gradvac", 0},   {"cagrad", 0},  {"mgda", 0}, {"imtl_g", 0},    {"aligned_mtl", 0},
      {"upgrad", 0}, {"dual_proj", 0}, {"con_fig", 0}, {"krum", 0}, {"nash_mtl", -1}, {"fairgrad", -4.0 / 3}};
  const Rows rows = random_gradients(6, 50, 11, 1, 0.2);
  for (const double scale : {1e-6, 1e5}) {
    for (const auto& [method, power] : powers) {
      std::vector<double> expected = weights_of(method, gram_of(rows));
      for (double& weight : expected) weight *= std::pow(scale, power);
      SCOPED_TRACE(method);
      expect_near(weights_of(method, gram_of(scaled(rows, std::vector<double>(6, scale)))), expected, 1e-8);
    }
  }
}

TEST(GramBalancers, AreLinearOrInvariantInTheScaleOfEachGradient) {
  const Rows rows = random_gradients(5, 50, 5, 0, 0.2);
  const std::vector<double> factor = {1e-3, 10, 1, 0.2, 400};
  const Rows changed = scaled(rows, factor);
  // The direction of Nash-MTL is the same; those of IMTL-G and ConFIG are, up to their length.
  for (const std::string method : {"nash_mtl", "imtl_g", "con_fig"}) {
    std::vector<double> before = combination(rows, weights_of(method, gram_of(rows)));
    std::vector<double> after = combination(changed, weights_of(method, gram_of(changed)));
    SCOPED_TRACE(method);
    const double length = norm_of(after) / norm_of(before);
    if (method == "nash_mtl") {
      EXPECT_NEAR(length, 1, 1e-9);
    }
    for (double& value : before) value *= length;
    expect_near(after, before, 1e-6);
  }
  // UPGrad is a sum of terms, each proportional to the length of one gradient.
  std::vector<double> sum(50, 0);
  for (std::size_t t = 0; t < rows.size(); ++t) {
    std::vector<double> one(rows.size(), 1);
    one[t] = 1 + factor[t];
    const std::vector<double> more = combination(scaled(rows, one), weights_of("upgrad", gram_of(scaled(rows, one))));
    const std::vector<double> plain = combination(rows, weights_of("upgrad", gram_of(rows)));
    for (std::size_t p = 0; p < sum.size(); ++p) sum[p] += more[p] - plain[p];
  }
  expect_near(combination(changed, weights_of("upgrad", gram_of(changed))), sum, 1e-6);
}

TEST(GramBalancers, TasksThatDoNotTakePartChangeNothing) {
  const Rows rows = random_gradients(4, 40, 9, 1);
  Rows more = rows;
  more.insert(more.begin() + 2, random_gradients(1, 40, 99).front());  // not active
  more.push_back(std::vector<double>(40, 0));                          // its gradient is 0
  for (const std::string& method : gram_methods()) {
    if (method == "pcgrad" || method == "gradvac") continue;  // their random order depends on the number of a task
    BalanceInput input = input_of(gram_of(more));
    input.active[2] = false;
    const std::vector<double> plain = weights_of(method, gram_of(rows));
    SCOPED_TRACE(method);
    expect_near(make_method(method, 6)->weights(input), {plain[0], plain[1], 0, plain[2], plain[3], 0}, 1e-12);
  }
}

TEST(GramBalancers, PcgradAndGradvacKeepTheOrderOfTheTasksThatStay) {
  const Rows rows = random_gradients(5, 8, 13, 0, -0.4);
  for (const std::string method : {"pcgrad", "gradvac"}) {
    BalanceInput input = input_of(gram_of(rows));
    input.active[4] = false;
    const std::vector<double> found = make_method(method, 5)->weights(input);
    std::vector<double> expected = weights_of(method, gram_of(Rows(rows.begin(), rows.begin() + 4)));
    expected.push_back(0);
    EXPECT_EQ(found, expected) << method;
  }
}

TEST(GramBalancers, OneTask) {
  SquareMatrix gram(1);
  gram(0, 0) = 9;
  for (const std::string& method : gram_methods()) {
    const double expected = method == "nash_mtl"   ? 1.0 / 3                // |d|^2 = 1
                            : method == "fairgrad" ? std::pow(9, -2.0 / 3)  // 9 w = w^(-1/2)
                            : method == "cagrad"   ? 1.4                    // 1 + c
                                                   : 1;
    EXPECT_NEAR(weights_of(method, gram).at(0), expected, 1e-10) << method;
  }
}

TEST(GramBalancers, NoTaskAndOnlyZeroGradients) {
  for (const std::string& method : gram_methods()) {
    BalanceInput input = input_of(SquareMatrix(2));
    EXPECT_EQ(make_method(method, 2)->weights(input), (std::vector<double>{0, 0})) << method;
    input.active = {false, false};
    EXPECT_EQ(make_method(method, 2)->weights(input), (std::vector<double>{0, 0})) << method;
  }
}

TEST(GramBalancers, NumbersThatAreNotFiniteGiveEqualWeightsAndChangeNoState) {
  const SquareMatrix good = gram_of(random_gradients(3, 20, 17, 1));
  for (const std::string& method : gram_methods()) {
    for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      const auto balancer = make_method(method, 3);
      balancer->weights(input_of(good));
      const std::string state = balancer->state();
      SquareMatrix gram = good;
      gram(1, 2) = gram(2, 1) = bad;
      EXPECT_EQ(balancer->weights(input_of(gram, 2)), (std::vector<double>{1.0 / 3, 1.0 / 3, 1.0 / 3})) << method;
      BalanceInput input = input_of(gram, 2);
      gram(0, 0) = bad;
      input.active[1] = false;
      input.gram = gram;
      EXPECT_EQ(balancer->weights(input), (std::vector<double>{0.5, 0, 0.5})) << method;
      EXPECT_EQ(balancer->state(), state) << method;
    }
  }
}

TEST(GramBalancers, ParetoStationaryDirectionsAreSmall) {
  // The first two gradients are opposite; the third one is orthogonal to them.
  const Rows rows = {{1, 0, 0}, {-1, 0, 0}, {0, 2, 0}};
  for (const std::string& method : gram_methods()) {
    if (method == "krum") continue;  // it selects one of the tasks
    BalancerOptions options;
    options.primary = "t2";  // no direction satisfies both others: pcd returns this gradient
    const std::vector<double> direction = combination(rows, weights_of(method, gram_of(rows), options));
    EXPECT_NEAR(direction[0], 0, 1e-9) << method;
    EXPECT_GE(direction[1], -1e-9) << method;
    EXPECT_LE(norm_of(direction), 2 + 1e-9) << method;
  }
  const Rows opposite = {{3, 0}, {-3, 0}};
  for (const std::string& method : gram_methods()) {
    if (method == "krum" || method == "pcd") continue;
    EXPECT_NEAR(norm_of(combination(opposite, weights_of(method, gram_of(opposite)))), 0, 1e-9) << method;
  }
}

}  // namespace
}  // namespace polyhead
