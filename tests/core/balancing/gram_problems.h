// Gradients and Gram matrices for the tests of balancers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/balancing/balancer.h"
#include "core/balancing/linear_algebra.h"

namespace polyhead {

using Rows = std::vector<std::vector<double>>;  // gradients, [tasks][parameters]

// Normally distributed, a pure function of the seed. spread: norms are 10^u, u uniform in [-spread, spread].
// alike: share of a common direction, near 1 or -1 for parallel gradients, of alternating signs if negative.
Rows random_gradients(std::size_t tasks, std::size_t parameters, std::uint64_t seed, double spread = 0,
                      double alike = 0);

SquareMatrix gram_of(const Rows& gradients);
std::vector<double> combination(const Rows& gradients, const std::vector<double>& weights);
double norm_of(const std::vector<double>& x);

// All tasks are active, with static weights of 1 and losses of 1.
BalanceInput input_of(const SquareMatrix& gram, std::int64_t step = 1);

// Names of the methods that read the Gram matrix.
const std::vector<std::string>& gram_methods();

// Tasks are named t0, t1, …
std::unique_ptr<Balancer> make_method(const std::string& method, std::size_t tasks, BalancerOptions options = {});
// The weights of the first step.
std::vector<double> weights_of(const std::string& method, const SquareMatrix& gram,
                               const BalancerOptions& options = {});

// Gradients of 2 to 40 tasks: random, of norms from 1e-4 to 1e4, nearly parallel and nearly opposite, more tasks than
// parameters.
std::vector<Rows> hard_problems();

void expect_near(const std::vector<double>& found, const std::vector<double>& expected, double relative);

}  // namespace polyhead
