// Dynamic weight average (Liu et al., End-to-End Multi-Task Learning with Attention, arXiv 1803.10704): weights are
// proportional to exp(r_i / temperature), where r_i is the mean loss of the last window divided by that of the window
// before: tasks whose loss falls slowly get more weight. A window is balance.dwa_window steps of the task, instead of
// an epoch. Until a task has two windows, r_i = 1. State: the means and the sum so far.
#include "core/balancing/loss_balancer.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class Dwa : public LossBalancer {
 public:
  explicit Dwa(const BalancerSpec& spec)
      : LossBalancer("dwa", spec.tasks.size(), spec.options.loss_floor),
        temperature_(spec.options.dwa_temperature),
        window_(static_cast<double>(spec.options.dwa_window)),
        sum_(state_.add("sum", spec.tasks.size())),
        count_(state_.add("count", spec.tasks.size())),
        last_(state_.add("last", spec.tasks.size())),
        before_(state_.add("before", spec.tasks.size())) {
    remember_active_tasks();
  }

 protected:
  void learn(const LossProblem& problem) override {
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      const std::size_t task = problem.tasks[i];
      sum_[task] += problem.loss[i] / window_;
      if ((count_[task] += 1) < window_) continue;
      before_[task] = last_[task];
      last_[task] = sum_[task];
      sum_[task] = count_[task] = 0;
    }
  }

  std::vector<double> formula(const LossProblem& problem) override {
    std::vector<double> exponents;
    for (const std::size_t task : problem.tasks)
      exponents.push_back((before_[task] > 0 ? last_[task] / before_[task] : 1) / temperature_);
    return softmax(exponents);
  }

 private:
  double temperature_, window_;
  std::vector<double>&sum_, &count_;    // of the window that is not complete
  std::vector<double>&last_, &before_;  // means of windows; 0: none, since losses are above 0
};

}  // namespace

std::unique_ptr<Balancer> make_dwa(const BalancerSpec& spec) {
  return std::make_unique<Dwa>(spec);
}

}  // namespace polyhead
