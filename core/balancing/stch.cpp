// Smooth Tchebycheff scalarisation (Lin et al., arXiv 2402.19078): the gradient of a smooth maximum over the tasks.
// - With balance.stch_warmup > 0, of mu log sum of exp(l_i / mu), where l_i = log(L_i / m_i) and m_i is the mean loss
// in
//   the task's first stch_warmup steps: w_i is proportional to softmax(l / mu)_i / L_i. In these steps, l_i = 0.
// - With stch_warmup = 0, of mu log sum of exp(p_i L_i / mu), where p_i is task.NAME.weight, scaled so that they sum to
// 1:
//   w_i is proportional to p_i softmax(p L / mu)_i. balance.loss_floor is the ideal point.
// State: the sums and numbers of the first losses.
#include <cmath>

#include "core/balancing/loss_balancer.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class Stch : public LossBalancer {
 public:
  explicit Stch(const BalancerSpec& spec)
      : LossBalancer("stch", spec.tasks.size(), spec.options.loss_floor),
        mu_(spec.options.stch_mu),
        warmup_(static_cast<double>(spec.options.stch_warmup)),
        sum_(state_.add("sum", spec.tasks.size())),
        count_(state_.add("count", spec.tasks.size())) {
    remember_active_tasks();
  }

 protected:
  void learn(const LossProblem& problem) override {
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      const std::size_t task = problem.tasks[i];
      if (count_[task] >= warmup_) continue;
      sum_[task] += problem.loss[i] / warmup_;
      count_[task] += 1;
    }
  }

  std::vector<double> formula(const LossProblem& problem) override {
    std::vector<double> exponents, factors;
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      const std::size_t task = problem.tasks[i];
      if (warmup_ == 0) {
        exponents.push_back(problem.preference[i] * problem.loss[i] / mu_);
        factors.push_back(problem.preference[i]);
      } else {
        exponents.push_back(count_[task] < warmup_ ? 0 : std::log(problem.loss[i] / sum_[task]) / mu_);
        factors.push_back(1 / problem.loss[i]);
      }
    }
    std::vector<double> weights = softmax(exponents);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] *= factors[i];
    return weights;
  }

 private:
  double mu_, warmup_;
  std::vector<double>&sum_, &count_;  // sum: divided by warmup_
};

}  // namespace

std::unique_ptr<Balancer> make_stch(const BalancerSpec& spec) {
  return std::make_unique<Stch>(spec);
}

}  // namespace polyhead
