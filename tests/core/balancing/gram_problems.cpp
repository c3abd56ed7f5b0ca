#include "tests/core/balancing/gram_problems.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace polyhead {

Rows random_gradients(std::size_t tasks, std::size_t parameters, std::uint64_t seed, double spread, double alike) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> common(parameters);
  for (double& value : common) value = normal(generator);
  Rows rows(tasks, std::vector<double>(parameters));
  for (std::size_t t = 0; t < tasks; ++t) {
    const double scale = std::pow(10, spread * uniform(generator));
    const double sign = alike < 0 && t % 2 == 1 ? -1 : 1;
    for (std::size_t p = 0; p < parameters; ++p)
      rows[t][p] = scale * (sign * std::abs(alike) * common[p] + (1 - std::abs(alike)) * normal(generator));
  }
  return rows;
}

SquareMatrix gram_of(const Rows& gradients) {
  SquareMatrix gram(gradients.size());
  for (std::size_t i = 0; i < gradients.size(); ++i)
    for (std::size_t j = 0; j < gradients.size(); ++j) gram(i, j) = dot(gradients[i], gradients[j]);
  return gram;
}

std::vector<double> combination(const Rows& gradients, const std::vector<double>& weights) {
  std::vector<double> result(gradients.front().size(), 0);
  for (std::size_t t = 0; t < gradients.size(); ++t) add_scaled(weights[t], gradients[t], result);
  return result;
}

double norm_of(const std::vector<double>& x) {
  return std::sqrt(dot(x, x));
}

BalanceInput input_of(const SquareMatrix& gram, std::int64_t step) {
  BalanceInput input;
  input.step = step;
  input.active.assign(gram.size(), true);
  input.static_weight.assign(gram.size(), 1);
  input.loss.assign(gram.size(), 1);
  input.gram = gram;
  return input;
}

const std::vector<std::string>& gram_methods() {
  static const std::vector<std::string> methods = {"pcgrad",   "gradvac",  "cagrad",      "mgda",   "imtl_g",
                                                   "nash_mtl", "fairgrad", "aligned_mtl", "upgrad", "dual_proj",
                                                   "con_fig",  "pcd",      "krum"};
  return methods;
}

std::unique_ptr<Balancer> make_method(const std::string& method, std::size_t tasks, BalancerOptions options) {
  options.method = method;
  std::vector<std::string> names;
  for (std::size_t t = 0; t < tasks; ++t) names.push_back(fmt::format("t{}", t));
  return make_balancer(options, names, 7);
}

std::vector<double> weights_of(const std::string& method, const SquareMatrix& gram, const BalancerOptions& options) {
  return make_method(method, gram.size(), options)->weights(input_of(gram));
}

std::vector<Rows> hard_problems() {
  std::vector<Rows> problems;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    for (const std::size_t tasks : {2, 3, 8, 40}) {
      problems.push_back(random_gradients(tasks, 100, seed));
      problems.push_back(random_gradients(tasks, 100, seed, 4));
      problems.push_back(random_gradients(tasks, 100, seed, 1, 0.999));
      problems.push_back(random_gradients(tasks, 100, seed, 1, -0.99));
      problems.push_back(random_gradients(tasks, tasks / 2 + 1, seed, 2, 0.7));
    }
  }
  return problems;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected, double relative) {
  ASSERT_EQ(found.size(), expected.size());
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i], relative * std::max(std::abs(expected[i]), 1e-3 * largest)) << i;
}

}  // namespace polyhead
