// The balancers of norms of gradients.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/core/balancing/gram_problems.h"

namespace polyhead {
namespace {

BalanceInput norms(const std::vector<double>& norm, const std::vector<double>& loss) {
  SquareMatrix gram(norm.size());
  for (std::size_t t = 0; t < norm.size(); ++t) gram(t, t) = norm[t] * norm[t];
  BalanceInput input = input_of(gram);
  input.loss = loss;
  return input;
}

TEST(NormBalancers, DegenerateCases) {
  for (const std::string method : {"gradnorm", "db_mtl", "excess_mtl"}) {
    const auto balancer = make_method(method, 3);
    EXPECT_EQ(balancer->reads(), Balancer::Reads::norms);
    EXPECT_EQ(balancer->weights(norms({0, 0, 0}, {1, 1, 1})), (std::vector<double>{0, 0, 0})) << method;
    BalanceInput one = norms({2, 3, 0}, {1, 2, 3});
    one.active[1] = false;
    expect_near(balancer->weights(one), {1, 0, 0}, 1e-12);
    const std::string state = balancer->state();
    EXPECT_EQ(balancer->weights(norms({1, std::numeric_limits<double>::infinity(), 1}, {1, 1, 1})),
              std::vector<double>(3, 1.0 / 3));
    if (method == "gradnorm") {
      EXPECT_EQ(balancer->weights(norms({1, 2, 1}, {1, std::nan(""), 1})), std::vector<double>(3, 1.0 / 3));
    }
    EXPECT_EQ(balancer->state(), state) << method;
  }
}

TEST(GradNorm, MakesNormsEqualWithAlphaZero) {
  BalancerOptions options;
  options.gradnorm_alpha = 0;
  options.gradnorm_lr = 0.01;
  const auto balancer = make_method("gradnorm", 3, options);
  std::vector<double> weights;
  for (int step = 0; step < 3000; ++step) weights = balancer->weights(norms({1, 4, 2}, {1, 1, 1}));
  EXPECT_NEAR(sum(weights), 3, 1e-12);
  EXPECT_NEAR(weights[0], 12.0 / 7, 0.1);
  EXPECT_NEAR(weights[1], 3.0 / 7, 0.1);
  EXPECT_NEAR(weights[2], 6.0 / 7, 0.1);
}

TEST(GradNorm, TasksThatTrainSlowlyGetMore) {
  const auto balancer = make_method("gradnorm", 2);
  balancer->weights(norms({1, 1}, {1, 4}));
  std::vector<double> weights;
  for (int step = 0; step < 10; ++step) weights = balancer->weights(norms({1, 1}, {0.9, 1}));
  EXPECT_GT(weights[0], weights[1]);
}

TEST(GradNorm, TakesAStepOfAdamAgainstTheGradient) {
  BalancerOptions options;
  options.gradnorm_lr = 0.05;
  // Norm 1 is below the mean, norm 3 above it: the logits change by the learning rate.
  const double low = std::exp(-0.05), high = std::exp(0.05);
  expect_near(make_method("gradnorm", 2, options)->weights(norms({1, 3}, {1, 1})),
              {2 * high / (low + high), 2 * low / (low + high)}, 1e-7);
}

TEST(DbMtl, ScalesToTheLargestNorm) {
  BalancerOptions options;
  options.db_mtl_beta = 0.8;
  options.db_mtl_sigma = 0.5;
  const auto balancer = make_method("db_mtl", 3, options);
  expect_near(balancer->weights(norms({2, 0.5, 1}, {1, 1, 1})), {1, 4, 2}, 1e-15);
  EXPECT_EQ(balancer->buffer(1).kind, TaskBuffer::Kind::log_average);
  EXPECT_NEAR(balancer->buffer(1).rate, 0.2, 1e-15);
  EXPECT_NEAR(balancer->buffer(4).rate, 0.6, 1e-15);
  EXPECT_EQ(balancer->state(), "");
}

TEST(ExcessMtl, MultipliesSharesByTheExcess) {
  BalancerOptions options;
  options.excess_mtl_lr = 0.5;
  const auto balancer = make_method("excess_mtl", 2, options);
  EXPECT_EQ(balancer->buffer(3).kind, TaskBuffer::Kind::square_sum);
  expect_near(balancer->weights(norms({1, 2}, {1, 1})), {0.5, 0.5}, 1e-12);
  // The excess of task 0 is four times its first one, that of task 1 a quarter.
  const double a = std::exp(2.0), b = std::exp(0.125);
  expect_near(balancer->weights(norms({2, 1}, {1, 1})), {a / (a + b), b / (a + b)}, 1e-12);
  // A task that is away keeps its share.
  BalanceInput input = norms({9, 9}, {1, 1});
  input.active[0] = false;
  balancer->weights(input);
  expect_near(balancer->weights(norms({1, 2}, {1, 1})), {a / (a + b), b / (a + b)}, 1e-12);
}

}  // namespace
}  // namespace polyhead
