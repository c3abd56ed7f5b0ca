// Balancers: from tasks to the weights w_t of the total loss, the sum over tasks of w_t L_t. Pure functions, one file
// each.
#pragma once

#include <string>
#include <vector>

namespace polyhead {

// What a balancer may read.
struct BalanceInput {
  std::vector<bool> active;           // [tasks] with valid targets in this step
  std::vector<double> static_weight;  // [tasks] task.NAME.weight
};

using Balancer = std::vector<double> (*)(const BalanceInput&);

// 1 / (active tasks) each.
std::vector<double> balance_equal(const BalanceInput& input);
// Proportional to the static weights; the active ones sum to 1.
std::vector<double> balance_static(const BalanceInput& input);

// The balancer of a name; throws Error(config) naming those there are.
Balancer find_balancer(const std::string& method);

}  // namespace polyhead
