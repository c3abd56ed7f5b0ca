// Uses the weights that the user gives.
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class Static : public Balancer {
 public:
  std::vector<double> weights(const BalanceInput& input) override {
    std::vector<double> weights(input.active.size(), 0);
    double sum = 0;
    for (std::size_t task = 0; task < weights.size(); ++task)
      if (input.active[task]) sum += weights[task] = input.static_weight[task];
    if (sum > 0)
      for (double& weight : weights) weight /= sum;
    return weights;
  }
};

}  // namespace

std::unique_ptr<Balancer> make_static(const BalancerSpec&) {
  return std::make_unique<Static>();
}

}  // namespace polyhead
