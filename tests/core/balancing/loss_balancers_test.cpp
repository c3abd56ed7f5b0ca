// The balancers of losses, and random weights.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/core/balancing/gram_problems.h"
#include "tests/core/expect_error.h"

namespace polyhead {
namespace {

const std::vector<std::string> kLossMethods = {"uncertainty", "dwa", "gls", "imtl_l", "famo", "stch", "go4align"};
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

BalanceInput losses(const std::vector<double>& loss) {
  BalanceInput input;
  input.active.assign(loss.size(), true);
  input.static_weight.assign(loss.size(), 1);
  input.loss = loss;
  return input;
}

// The weights after these losses, one call each.
std::vector<double> weights_after(Balancer& balancer, const std::vector<std::vector<double>>& steps) {
  std::vector<double> weights;
  for (const std::vector<double>& loss : steps) weights = balancer.weights(losses(loss));
  return weights;
}

TEST(LossBalancers, WeightsSumToOneForAnyLosses) {
  for (const std::string& method : kLossMethods) {
    const auto balancer = make_method(method, 3);
    EXPECT_EQ(balancer->reads(), Balancer::Reads::losses);
    for (const std::vector<double>& loss :
         std::vector<std::vector<double>>{{1, 2, 3}, {kUnknown, 1, 2}, {0, -5, 1e300}, {1e-300, 0, 0}, {-1, -2, -3}}) {
      for (int call = 0; call < 3; ++call) {
        double total = 0;
        for (const double weight : balancer->weights(losses(loss))) {
          EXPECT_GE(weight, 0) << method;
          total += weight;
        }
        EXPECT_NEAR(total, 1, 1e-12) << method;
      }
    }
  }
}

TEST(LossBalancers, BeforeTheFirstLossesAllWeightsAreEqual) {
  for (const std::string& method : kLossMethods) {
    const auto balancer = make_method(method, 3);
    EXPECT_EQ(balancer->weights(losses({kUnknown, kUnknown, kUnknown})), std::vector<double>(3, 1.0 / 3)) << method;
    // A task that joins has an equal share, the others divide theirs.
    EXPECT_NEAR(balancer->weights(losses({1, 5, kUnknown}))[2], 1.0 / 3, 1e-15) << method;
    BalanceInput input = losses({1, 5, 2});
    input.active = {true, false, false};
    EXPECT_EQ(balancer->weights(input), (std::vector<double>{1, 0, 0})) << method;
    input.active = {false, false, false};
    EXPECT_EQ(balancer->weights(input), (std::vector<double>{0, 0, 0})) << method;
  }
}

TEST(LossBalancers, AnInfiniteLossGivesEqualWeightsAndChangesNoState) {
  for (const std::string& method : kLossMethods) {
    const auto balancer = make_method(method, 3);
    weights_after(*balancer, {{1, 2, 3}, {1, 3, 2}});
    const std::string state = balancer->state();
    EXPECT_EQ(balancer->weights(losses({1, std::numeric_limits<double>::infinity(), 1})),
              std::vector<double>(3, 1.0 / 3));
    EXPECT_EQ(balancer->state(), state) << method;
  }
}

TEST(Gls, IsProportionalToTheInverseLoss) {
  expect_near(make_method("gls", 3)->weights(losses({1, 2, 4})), {4.0 / 7, 2.0 / 7, 1.0 / 7}, 1e-15);
  BalancerOptions options;
  options.loss_floor = -21;
  expect_near(make_method("gls", 2, options)->weights(losses({-20, -18})), {0.75, 0.25}, 1e-12);
}

TEST(Uncertainty, TakesAStepOfAdamForEachNewLoss) {
  BalancerOptions options;
  options.uncertainty_lr = 0.1;
  const auto balancer = make_method("uncertainty", 2, options);
  // The first losses are those of the step before the first call, which no call has seen.
  expect_near(balancer->weights(losses({3, 0.5})), {0.5, 0.5}, 1e-15);
  // Adam's first step has the length of the learning rate.
  const double up = std::exp(-0.1), down = std::exp(0.1);
  expect_near(balancer->weights(losses({3, 0.5})), {up / (up + down), down / (up + down)}, 1e-7);
  // In the end, the weights are proportional to the inverse losses.
  for (int step = 0; step < 3000; ++step) balancer->weights(losses({3, 0.5}));
  expect_near(balancer->weights(losses({3, 0.5})), {1.0 / 7, 6.0 / 7}, 0.02);
}

TEST(ImtlL, ApproachesTheInverseLoss) {
  BalancerOptions options;
  options.imtl_l_lr = 0.1;
  const auto balancer = make_method("imtl_l", 2, options);
  balancer->weights(losses({1.5, 0.5}));
  const double down = std::exp(-0.05), up = std::exp(0.05);
  expect_near(balancer->weights(losses({1.5, 0.5})), {down / (up + down), up / (up + down)}, 1e-12);
  for (int step = 0; step < 1000; ++step) balancer->weights(losses({300, 0.5}));
  expect_near(balancer->weights(losses({300, 0.5})), {0.5 / 300.5, 300 / 300.5}, 1e-9);
}

TEST(Dwa, ComparesTheMeansOfTwoWindows) {
  BalancerOptions options;
  options.dwa_window = 2;
  options.dwa_temperature = 0.5;
  const auto balancer = make_method("dwa", 2, options);
  expect_near(weights_after(*balancer, {{9, 9}, {4, 1}, {2, 3}, {1, 2}}), {0.5, 0.5}, 1e-15);
  const double fell = std::exp(2 * (1.0 / 3)), rose = std::exp(2 * 1.5);  // means 3, 2 and then 1, 3
  expect_near(balancer->weights(losses({1, 4})), {fell / (fell + rose), rose / (fell + rose)}, 1e-12);
}

TEST(Dwa, CountsNoStepTwice) {
  BalancerOptions options;
  options.dwa_window = 1;
  const auto balancer = make_method("dwa", 2, options);
  weights_after(*balancer, {{9, 9}, {1, 1}});
  BalanceInput input = losses({2, 1});
  input.active = {false, true};
  balancer->weights(input);                                               // rates 2 and 1
  const std::vector<double> weights = balancer->weights(losses({2, 1}));  // task 0 was away: still 2
  expect_near(weights,
              {std::exp(1.0) / (std::exp(1.0) + std::exp(0.5)), std::exp(0.5) / (std::exp(1.0) + std::exp(0.5))},
              1e-12);
}

TEST(Famo, EqualsTheFormula) {
  BalancerOptions options;
  options.famo_lr = 0.3;
  options.famo_decay = 0.2;
  const auto balancer = make_method("famo", 2, options);
  // z is equal before there are two losses of a task.
  expect_near(weights_after(*balancer, {{9, 9}, {4, 1}}), {0.2, 0.8}, 1e-12);
  std::vector<double> logit(2, 0), first(2, 0), second(2, 0), last = {4, 1};
  for (int step = 1; step <= 5; ++step) {
    const std::vector<double> loss = {4.0 / step, 1 + 0.1 * step};
    const double z = 1 / (1 + std::exp(logit[1] - logit[0]));
    const std::vector<double> share = {z, 1 - z};
    const std::vector<double> change = {std::log(last[0] / loss[0]), std::log(last[1] / loss[1])};
    const double mean = share[0] * change[0] + share[1] * change[1];
    for (std::size_t t = 0; t < 2; ++t) {
      const double gradient = share[t] * (change[t] - mean) + 0.2 * logit[t];
      first[t] = 0.9 * first[t] + 0.1 * gradient;
      second[t] = 0.999 * second[t] + 0.001 * gradient * gradient;
      logit[t] -=
          0.3 * first[t] / (1 - std::pow(0.9, step)) / (std::sqrt(second[t] / (1 - std::pow(0.999, step))) + 1e-8);
    }
    last = loss;
    const double a = std::exp(logit[0]) / loss[0], b = std::exp(logit[1]) / loss[1];
    expect_near(balancer->weights(losses(loss)), {a / (a + b), b / (a + b)}, 1e-10);
  }
}

TEST(Stch, ComparesLossesWithThoseOfTheWarmUp) {
  BalancerOptions options;
  options.stch_warmup = 2;
  options.stch_mu = 0.5;
  const auto balancer = make_method("stch", 2, options);
  expect_near(weights_after(*balancer, {{9, 9}, {3, 1}}), {0.25, 0.75}, 1e-12);  // 1 / L in the warm-up
  balancer->weights(losses({5, 3}));                                             // means 4 and 2
  const double a = std::pow(2.0 / 4, 2) / 2, b = std::pow(3.0 / 2, 2) / 3;
  expect_near(balancer->weights(losses({2, 3})), {a / (a + b), b / (a + b)}, 1e-12);
}

TEST(Stch, WithoutWarmUpComparesLosses) {
  BalancerOptions options;
  options.stch_warmup = 0;
  options.stch_mu = 0.5;
  BalanceInput input = losses({1, -2});
  input.static_weight = {1, 3};
  options.loss_floor = -4;
  const double a = 0.25 * std::exp(0.25 * 5 / 0.5), b = 0.75 * std::exp(0.75 * 2 / 0.5);
  expect_near(make_method("stch", 2, options)->weights(input), {a / (a + b), b / (a + b)}, 1e-12);
}

TEST(Go4Align, TasksOfAGroupHaveTheSameWeight) {
  BalancerOptions options;
  options.go4align_groups = 1;
  expect_near(make_method("go4align", 3, options)->weights(losses({1, 2, 30})), std::vector<double>(3, 1.0 / 3), 1e-12);
  options.go4align_groups = 2;
  // 1 / L is 1, 1 / 1.1, 0.1, 0.08.
  const double high = (1 + 1 / 1.1) / 2, low = 0.09, total = 2 * (high + low);
  const std::vector<double> loss = {10, 1, 12.5, 1.1};
  expect_near(make_method("go4align", 4, options)->weights(losses(loss)),
              {low / total, high / total, low / total, high / total}, 1e-12);
  options.go4align_groups = 9;
  options.go4align_lr = 0.5;
  const auto balancer = make_method("go4align", 2, options);
  balancer->weights(losses({1, 2}));
  const double a = std::exp(-0.5), b = std::exp(-1.0) / 2;
  expect_near(balancer->weights(losses({1, 2})), {a / (a + b), b / (a + b)}, 1e-12);
}

TEST(Rlw, DrawsFromSeedStepAndTask) {
  BalanceInput input = losses({1, 1, 1, 1});
  const auto balancer = make_method("rlw", 4);
  EXPECT_EQ(balancer->reads(), Balancer::Reads::nothing);
  double mean = 0, square = 0;
  const int steps = 4000;
  for (input.step = 1; input.step <= steps; ++input.step) {
    const std::vector<double> weights = balancer->weights(input);
    EXPECT_NEAR(sum(weights), 1, 1e-12);
    EXPECT_EQ(make_method("rlw", 4)->weights(input), weights);
    // The logarithm of the ratio of two weights is the difference of two normal numbers.
    const double difference = std::log(weights[0] / weights[3]);
    mean += difference / steps;
    square += difference * difference / steps;
  }
  EXPECT_NEAR(mean, 0, 0.1);
  EXPECT_NEAR(square, 2, 0.2);
  const std::vector<double> all = balancer->weights(input);
  input.active = {true, false, true, true};
  const std::vector<double> fewer = balancer->weights(input);
  EXPECT_EQ(fewer[1], 0);
  EXPECT_NEAR(fewer[0] / fewer[3], all[0] / all[3], 1e-12);
  input.active.assign(4, false);
  EXPECT_EQ(balancer->weights(input), std::vector<double>(4, 0));
}

TEST(BalancerOptions, OutOfRangeAreErrors) {
  BalancerOptions options;
  options.dwa_temperature = 0;
  expect_error([&] { make_method("dwa", 2, options); }, Exit::config, {"balance.dwa_temperature = 0", "> 0"});
}

}  // namespace
}  // namespace polyhead
