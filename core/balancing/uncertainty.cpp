// Weighting by uncertainty (Kendall et al., arXiv 1705.07115): the log-variances s_i, which start at 0, minimise the
// sum of L_i exp(-s_i) / 2 + s_i / 2, so that s_i approaches log L_i. The weights are proportional to exp(-s_i). Each
// s_i takes a step of Adam when there is a new loss of its task. State: s and Adam's moments.
#include <cmath>

#include "core/balancing/adam.h"
#include "core/balancing/loss_balancer.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class Uncertainty : public LossBalancer {
 public:
  explicit Uncertainty(const BalancerSpec& spec)
      : LossBalancer("uncertainty", spec.tasks.size(), spec.options.loss_floor),
        log_variance_(state_, "log_variance", spec.options.uncertainty_lr) {
    remember_active_tasks();
  }

 protected:
  void learn(const LossProblem& problem) override {
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      const double s = log_variance_.values()[problem.tasks[i]];
      log_variance_.update(problem.tasks[i], (1 - problem.loss[i] * std::exp(-s)) / 2);
    }
  }

  std::vector<double> formula(const LossProblem& problem) override {
    std::vector<double> exponents;
    for (const std::size_t task : problem.tasks) exponents.push_back(-log_variance_.values()[task]);
    return softmax(exponents);
  }

 private:
  TaskAdam log_variance_;
};

}  // namespace

std::unique_ptr<Balancer> make_uncertainty(const BalancerSpec& spec) {
  return std::make_unique<Uncertainty>(spec);
}

}  // namespace polyhead
