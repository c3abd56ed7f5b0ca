// ExcessMTL (He et al., Robust Multi-Task Learning with Excess Risks, ICML 2024): the excess risk of a task is
// e_i = sum over its parameters of g^2 / sqrt(sum of all g^2 so far). Shares, equal at first, are multiplied by
// exp(lr e_i / first e_i) in each step and scaled to sum to 1; they are the weights. In the first step of a task, its
// ratio is 1; TorchJD and the authors use e_i itself there, which depends on the scale of the loss. State: the
// logarithms of the shares and the first e_i.
#include <cmath>

#include "core/balancing/gram_balancer.h"
#include "core/balancing/loss_balancer.h"
#include "core/balancing/mass.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class ExcessMtl : public GramBalancer {
 public:
  explicit ExcessMtl(const BalancerSpec& spec)
      : GramBalancer("excess_mtl", spec.tasks.size()),
        learning_rate_(spec.options.excess_mtl_lr),
        log_share_(state_.add("log_share", spec.tasks.size())),
        first_(state_.add("first", spec.tasks.size())) {}

  Reads reads() const override { return Reads::norms; }
  TaskBuffer buffer(std::int64_t) const override { return {.kind = TaskBuffer::Kind::square_sum}; }

 protected:
  std::vector<double> solve(const GramProblem& problem) override {
    std::vector<double> exponents, shares;
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      double& first = first_[problem.tasks[i]];
      if (first == 0) first = problem.gram(i, i);
      exponents.push_back(learning_rate_ * std::min(problem.gram(i, i) / first, 1e6));
    }
    multiply_shares(log_share_, problem.tasks, exponents);
    for (const std::size_t task : problem.tasks) shares.push_back(log_share_[task]);
    return softmax(shares);
  }

 private:
  double learning_rate_;
  std::vector<double>&log_share_, &first_;
};

}  // namespace

std::unique_ptr<Balancer> make_excess_mtl(const BalancerSpec& spec) {
  return std::make_unique<ExcessMtl>(spec);
}

}  // namespace polyhead
