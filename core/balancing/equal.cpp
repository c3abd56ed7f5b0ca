// Gives all active tasks the same weight.
#include <algorithm>

#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class Equal : public Balancer {
 public:
  std::vector<double> weights(const BalanceInput& input) override {
    const auto active = std::ranges::count(input.active, true);
    std::vector<double> weights(input.active.size(), 0);
    for (std::size_t task = 0; task < weights.size(); ++task)
      if (input.active[task]) weights[task] = 1 / static_cast<double>(active);
    return weights;
  }
};

}  // namespace

std::unique_ptr<Balancer> make_equal(const BalancerSpec&) {
  return std::make_unique<Equal>();
}

}  // namespace polyhead
