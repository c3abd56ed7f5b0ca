// IMTL-L (Liu et al., Towards Impartial Multi-Task Learning, ICLR 2021): the logarithmic scales s_i, which start at 0,
// minimise the sum of L_i exp(s_i) - s_i, so that s_i approaches -log L_i. The weights are proportional to exp(s_i).
// Each s_i takes a step of gradient descent when there is a new loss of its task; the gradient is limited to 1, since
// it grows with the loss. The optimum is that of uncertainty and gls: the three differ in how fast they follow the
// losses. State: s.
#include <algorithm>
#include <cmath>

#include "core/balancing/loss_balancer.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class ImtlL : public LossBalancer {
 public:
  explicit ImtlL(const BalancerSpec& spec)
      : LossBalancer("imtl_l", spec.tasks.size(), spec.options.loss_floor),
        learning_rate_(spec.options.imtl_l_lr),
        log_scale_(state_.add("log_scale", spec.tasks.size())) {
    remember_active_tasks();
  }

 protected:
  void learn(const LossProblem& problem) override {
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      double& s = log_scale_[problem.tasks[i]];
      s -= learning_rate_ * std::min(1.0, problem.loss[i] * std::exp(s) - 1);
    }
  }

  std::vector<double> formula(const LossProblem& problem) override {
    std::vector<double> exponents;
    for (const std::size_t task : problem.tasks) exponents.push_back(log_scale_[task]);
    return softmax(exponents);
  }

 private:
  double learning_rate_;
  std::vector<double>& log_scale_;
};

}  // namespace

std::unique_ptr<Balancer> make_imtl_l(const BalancerSpec& spec) {
  return std::make_unique<ImtlL>(spec);
}

}  // namespace polyhead
