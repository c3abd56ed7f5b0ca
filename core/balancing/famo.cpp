// FAMO (Liu et al., Fast Adaptive Multitask Optimization, arXiv 2306.03792): decreases the logarithms of all losses at
// about the same rate. With the logits x_i, which start at 0, and z = softmax(x), w_i is proportional to z_i / L_i.
// From one step of a task to its next, delta_i = log L_i - log L_i'; x takes a step of Adam with weight decay against
// z_i (delta_i - sum of z_j delta_j). Losses are compared between consecutive steps, not on the same batch as in the
// paper. The sums are over the tasks that have both losses. State: x, Adam's moments, and the last losses.
#include <cmath>

#include "core/balancing/adam.h"
#include "core/balancing/linear_algebra.h"
#include "core/balancing/loss_balancer.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class Famo : public LossBalancer {
 public:
  explicit Famo(const BalancerSpec& spec)
      : LossBalancer("famo", spec.tasks.size(), spec.options.loss_floor),
        logit_(state_, "logit", spec.options.famo_lr, spec.options.famo_decay),
        last_(state_.add("last", spec.tasks.size())) {
    remember_active_tasks();
  }

 protected:
  void learn(const LossProblem& problem) override {
    std::vector<std::size_t> tasks;
    std::vector<double> change;
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      double& last = last_[problem.tasks[i]];
      if (last > 0) {
        tasks.push_back(problem.tasks[i]);
        change.push_back(std::log(last) - std::log(problem.loss[i]));
      }
      last = problem.loss[i];
    }
    if (tasks.empty()) return;
    const std::vector<double> z = shares(tasks);
    const double mean = dot(z, change);
    for (std::size_t i = 0; i < tasks.size(); ++i) logit_.update(tasks[i], z[i] * (change[i] - mean));
  }

  std::vector<double> formula(const LossProblem& problem) override {
    std::vector<double> weights = shares(problem.tasks);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] /= problem.loss[i];
    return weights;
  }

 private:
  std::vector<double> shares(const std::vector<std::size_t>& tasks) const {
    std::vector<double> logits;
    for (const std::size_t task : tasks) logits.push_back(logit_.values()[task]);
    return softmax(logits);
  }

  TaskAdam logit_;
  std::vector<double>& last_;  // losses above the floor; 0: none yet
};

}  // namespace

std::unique_ptr<Balancer> make_famo(const BalancerSpec& spec) {
  return std::make_unique<Famo>(spec);
}

}  // namespace polyhead
