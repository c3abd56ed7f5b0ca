// Geometric loss strategy (Chennupati et al., MultiNet++, 2019): the gradient of the geometric mean of the losses,
// whose weights are proportional to 1 / L_i.
#include "core/balancing/loss_balancer.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class Gls : public LossBalancer {
 public:
  explicit Gls(const BalancerSpec& spec) : LossBalancer("gls", spec.tasks.size(), spec.options.loss_floor) {}

 protected:
  std::vector<double> formula(const LossProblem& problem) override {
    std::vector<double> weights;
    for (const double loss : problem.loss) weights.push_back(1 / loss);
    return weights;
  }
};

}  // namespace

std::unique_ptr<Balancer> make_gls(const BalancerSpec& spec) {
  return std::make_unique<Gls>(spec);
}

}  // namespace polyhead
