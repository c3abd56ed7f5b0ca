// What a checkpoint holds of the balancing of tasks.
#pragma once

#include <string>
#include <vector>

namespace polyhead {

// An empty list: the method does not use it.
struct BalanceState {
  std::string balancer;             // Balancer::state()
  std::vector<double> loss = {};    // [tasks] mean loss of the last step in which the task was active; NaN: none
  std::vector<double> weight = {};  // [tasks] of the gradients, reused by balance.every
  std::vector<bool> active = {};    // [tasks] the tasks that `weight` was computed for
};

}  // namespace polyhead
