// PCGrad, GradVac, UPGrad, DualProj and PCD: projections.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/balancing/random_order.h"
#include "core/base/error.h"
#include "tests/core/balancing/gram_problems.h"
#include "tests/core/expect_error.h"

namespace polyhead {
namespace {

// PCGrad on the vectors themselves.
std::vector<double> pcgrad_direction(const Rows& rows, std::int64_t step) {
  GramProblem problem;
  problem.step = step;
  for (std::size_t t = 0; t < rows.size(); ++t) problem.tasks.push_back(t);
  std::vector<double> direction(rows.front().size(), 0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<double> gradient = rows[i];
    for (const std::size_t j : random_order(problem, i, 7)) {
      const double product = dot(gradient, rows[j]);
      if (product < 0) add_scaled(-product / dot(rows[j], rows[j]), rows[j], gradient);
    }
    add_scaled(1, gradient, direction);
  }
  return direction;
}

TEST(PcGrad, EqualsTheComputationOnVectors) {
  for (std::int64_t step = 1; step <= 20; ++step) {
    const Rows rows = random_gradients(7, 9, static_cast<std::uint64_t>(step), 1, -0.3);
    const std::vector<double> weights = make_method("pcgrad", 7)->weights(input_of(gram_of(rows), step));
    expect_near(combination(rows, weights), pcgrad_direction(rows, step), 1e-9);
  }
}

TEST(PcGrad, TheOrderDependsOnSeedStepAndTask) {
  GramProblem problem;
  problem.tasks = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const std::vector<std::size_t> order = random_order(problem, 0, 7);
  EXPECT_EQ(random_order(problem, 0, 7), order);
  EXPECT_NE(random_order(problem, 0, 8), order);
  problem.step = 2;
  EXPECT_NE(random_order(problem, 0, 7), order);
  std::vector<std::size_t> sorted = random_order(problem, 4, 7);
  std::ranges::sort(sorted);
  EXPECT_EQ(sorted, (std::vector<std::size_t>{0, 1, 2, 3, 5, 6, 7, 8, 9}));
}

TEST(PcGrad, TwoTasks) {
  SquareMatrix gram(2);
  gram(0, 0) = 4;
  gram(1, 1) = 1;
  gram(0, 1) = gram(1, 0) = -1;
  expect_near(weights_of("pcgrad", gram), {1 + 1.0 / 4, 1 + 1.0}, 1e-15);
  gram(0, 1) = gram(1, 0) = 1;
  EXPECT_EQ(weights_of("pcgrad", gram), (std::vector<double>{1, 1}));
}

TEST(GradVac, IsPcGradWithoutTargets) {
  for (std::int64_t step = 1; step <= 20; ++step) {
    const SquareMatrix gram = gram_of(random_gradients(6, 8, static_cast<std::uint64_t>(step), 1, -0.3));
    BalancerOptions options;
    options.gradvac_beta = 0;
    expect_near(make_method("gradvac", 6, options)->weights(input_of(gram, step)),
                make_method("pcgrad", 6)->weights(input_of(gram, step)), 1e-9);
  }
}

TEST(GradVac, MakesTheCosineEqualToItsTarget) {
  SquareMatrix high(2), low(2);
  for (SquareMatrix* const gram : {&high, &low}) {
    (*gram)(0, 0) = 4;
    (*gram)(1, 1) = 9;
  }
  high(0, 1) = high(1, 0) = 0.8 * 6;
  low(0, 1) = low(1, 0) = -0.5 * 6;
  const auto balancer = make_method("gradvac", 2);
  EXPECT_EQ(balancer->weights(input_of(high, 1)), (std::vector<double>{1, 1}));  // targets become 0.4
  const std::vector<double> weights = balancer->weights(input_of(low, 2));
  // Each gradient gets the share of the other with which their cosine is 0.4.
  const double added = (0.4 * std::sqrt(0.75) + 0.5 * std::sqrt(0.84)) / std::sqrt(0.84);
  expect_near(weights, {1 + added * 3 / 2, 1 + added * 2 / 3}, 1e-12);
}

TEST(UpGrad, HurtsNoTask) {
  for (const Rows& rows : hard_problems()) {
    for (const std::string method : {"upgrad", "dual_proj"}) {
      const std::vector<double> weights = weights_of(method, gram_of(rows));
      const std::vector<double> direction = combination(rows, weights);
      double terms = 0;  // what the direction is a sum of
      for (std::size_t t = 0; t < rows.size(); ++t) {
        EXPECT_GE(weights[t], 1.0 / static_cast<double>(rows.size()) * (1 - 1e-12));
        terms += weights[t] * norm_of(rows[t]);
      }
      for (const std::vector<double>& row : rows)
        EXPECT_GE(dot(direction, row), -3e-8 * terms * norm_of(row)) << method << " " << rows.size();
    }
  }
}

TEST(UpGrad, OfTwoTasksIsHalfOfPcGrad) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const SquareMatrix gram = gram_of(random_gradients(2, 3, seed, 3));
    std::vector<double> half = weights_of("pcgrad", gram);
    for (double& weight : half) weight /= 2;
    expect_near(weights_of("upgrad", gram), half, 1e-6);
  }
}

TEST(UpGrad, StaticWeightsArePreferences) {
  BalanceInput input = input_of(gram_of({{1, 0}, {0, 2}}));  // no conflict
  input.static_weight = {1, 3};
  for (const std::string method : {"upgrad", "dual_proj"})
    expect_near(make_method(method, 2)->weights(input), {0.25, 0.75}, 1e-12);
}

TEST(Pcd, FollowsThePrimaryTask) {
  BalancerOptions options;
  options.primary = "t1";
  // Without conflicts, only the primary task matters.
  expect_near(weights_of("pcd", gram_of({{1, 1}, {0, 2}}), options), {0, 1}, 1e-12);
  // In all cases that can be satisfied, the direction is as long as the gradient of the primary task, and each other
  // task makes the progress that it was promised.
  for (const Rows& rows : hard_problems()) {
    const std::vector<double> weights = weights_of("pcd", gram_of(rows), options);
    const std::vector<double> direction = combination(rows, weights);
    if (rows.size() > rows.front().size() || norm_of(direction) == 0) continue;
    const double length = norm_of(rows[1]);
    EXPECT_NEAR(norm_of(direction) / length, 1, 1e-6);
    // In the units of the program: gradients divided by their norms (1e-8 is small against their squares or not).
    const double scale = std::sqrt(length * length + 1e-8);
    const double shortened = weights[1] * scale;  // the length is that of d~ times `shortened`
    for (std::size_t t = 0; t < rows.size(); ++t) {
      if (t == 1) continue;
      EXPECT_GE(weights[t], 0);
      const double norm = norm_of(rows[t]), unit = norm / std::sqrt(norm * norm + 1e-8);
      EXPECT_GE(dot(direction, rows[t]) / norm / shortened, 0.02 * unit - 1e-6);
    }
  }
}

TEST(Pcd, WithoutThePrimaryTaskThereIsNoUpdate) {
  const auto balancer = make_method("pcd", 2);
  BalanceInput input = input_of(gram_of({{1, 0}, {0, 2}}));
  input.active[0] = false;
  EXPECT_EQ(balancer->weights(input), (std::vector<double>{0, 0}));
  // The averages of the tasks count their own steps.
  EXPECT_EQ(balancer->state(), R"({"average":[0.0,0.0040000000000000036],"method":"pcd","steps":[0.0,1.0],"tasks":2})");
}

TEST(Pcd, AnUnknownPrimaryTaskIsAnError) {
  BalancerOptions options;
  options.primary = "sentiment";
  expect_error([&] { make_method("pcd", 2, options); }, Exit::config, {"balance.primary = sentiment", "t0, t1"});
}

}  // namespace
}  // namespace polyhead
