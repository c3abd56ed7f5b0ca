// Every active task counts the same.
#include <algorithm>

#include "core/balancing/balancer.h"

namespace polyhead {

std::vector<double> balance_equal(const BalanceInput& input) {
  const auto active = std::ranges::count(input.active, true);
  std::vector<double> weights(input.active.size(), 0);
  for (std::size_t task = 0; task < weights.size(); ++task)
    if (input.active[task]) weights[task] = 1 / static_cast<double>(active);
  return weights;
}

}  // namespace polyhead
