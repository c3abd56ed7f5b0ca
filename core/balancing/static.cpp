// Weights that the user states.
#include "core/balancing/balancer.h"

namespace polyhead {

std::vector<double> balance_static(const BalanceInput& input) {
  std::vector<double> weights(input.active.size(), 0);
  double sum = 0;
  for (std::size_t task = 0; task < weights.size(); ++task)
    if (input.active[task]) sum += weights[task] = input.static_weight[task];
  if (sum > 0)
    for (double& weight : weights) weight /= sum;
  return weights;
}

}  // namespace polyhead
