// GradNorm (Chen et al., arXiv 1711.02257), on the norms of all shared parameters: with w = n softmax(x), where the
// logits x start at 0, and r_i = (L_i / first L_i) / (their mean), x takes a step of Adam against the gradient of the
// sum of | w_i |g_i| - (mean of w_j |g_j|) r_i^alpha |, in which the mean and r are constants. The weights sum to n,
// the number of tasks that take part. State: x, Adam's moments, and the first losses.
#include <algorithm>
#include <cmath>

#include "core/balancing/adam.h"
#include "core/balancing/gram_balancer.h"
#include "core/balancing/linear_algebra.h"
#include "core/balancing/loss_balancer.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class GradNorm : public GramBalancer {
 public:
  explicit GradNorm(const BalancerSpec& spec)
      : GramBalancer("gradnorm", spec.tasks.size()),
        alpha_(spec.options.gradnorm_alpha),
        loss_floor_(spec.options.loss_floor),
        logit_(state_, "logit", spec.options.gradnorm_lr),
        first_(state_.add("first", spec.tasks.size())) {}

  Reads reads() const override { return Reads::norms; }

 protected:
  bool needs_losses() const override { return true; }

  std::vector<double> solve(const GramProblem& problem) override {
    const std::vector<double> weights = weights_of(problem);
    const std::size_t n = weights.size();
    std::vector<double> rate(n), weighted(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double loss = std::max(problem.loss[i] - loss_floor_, 1e-8);
      double& first = first_[problem.tasks[i]];
      if (first == 0) first = loss;
      rate[i] = loss / first;
      weighted[i] = weights[i] * problem.norm[i];
    }
    const double mean = sum(weighted) / static_cast<double>(n), mean_rate = sum(rate) / static_cast<double>(n);
    std::vector<double> slope(n);  // of the objective in log w_i
    for (std::size_t i = 0; i < n; ++i) {
      const double excess = weighted[i] - mean * std::pow(rate[i] / mean_rate, alpha_);
      slope[i] = excess > 0 ? weighted[i] : excess < 0 ? -weighted[i] : 0;
    }
    const double total = sum(slope);
    for (std::size_t i = 0; i < n; ++i)
      logit_.update(problem.tasks[i], slope[i] - weights[i] / static_cast<double>(n) * total);
    return weights_of(problem);
  }

 private:
  std::vector<double> weights_of(const GramProblem& problem) const {
    std::vector<double> weights;
    for (const std::size_t task : problem.tasks) weights.push_back(logit_.values()[task]);
    weights = softmax(weights);
    for (double& weight : weights) weight *= static_cast<double>(weights.size());
    return weights;
  }

  double alpha_, loss_floor_;
  TaskAdam logit_;
  std::vector<double>& first_;  // losses above the floor; 0: none yet
};

}  // namespace

std::unique_ptr<Balancer> make_gradnorm(const BalancerSpec& spec) {
  return std::make_unique<GradNorm>(spec);
}

}  // namespace polyhead
