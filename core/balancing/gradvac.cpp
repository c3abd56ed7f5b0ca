// GradVac (Wang et al., Gradient Vaccine, arXiv 2010.05874): as PCGrad, but the gradient of task i is changed where its
// cosine phi with that of task j is below a target rho_ij, so that it becomes rho_ij:
//   c_j += n (rho sqrt(1 - phi^2) - phi sqrt(1 - rho^2)) / (|g_j| sqrt(1 - rho^2)), where n is the length of the result
// so far. Then rho_ij += beta (phi - rho_ij), with the phi from before the change. rho starts at 0; with beta = 0, this
// is PCGrad. The results are summed.
//
// TorchJD adds 1e-8 to the denominators, which matters for gradients of about that length. Here only sqrt(1 - rho^2)
// has a lower bound, of 1e-8. State: rho.
#include <algorithm>
#include <cmath>

#include "core/balancing/gram_balancer.h"
#include "core/balancing/linear_algebra.h"
#include "core/balancing/methods.h"
#include "core/balancing/random_order.h"

namespace polyhead {
namespace {

double sine(double cosine) {
  return std::sqrt(std::max(0.0, 1 - cosine * cosine));
}

class GradVac : public GramBalancer {
 public:
  explicit GradVac(const BalancerSpec& spec)
      : GramBalancer("gradvac", spec.tasks.size()),
        beta_(spec.options.gradvac_beta),
        seed_(spec.seed),
        target_(state_.add("target", spec.tasks.size() * spec.tasks.size())) {}

 protected:
  std::vector<double> solve(const GramProblem& problem) override {
    std::vector<double> weights(problem.tasks.size(), 0);
    for (std::size_t i = 0; i < weights.size(); ++i) add_vaccinated(problem, i, weights);
    return weights;
  }

 private:
  void add_vaccinated(const GramProblem& problem, std::size_t i, std::vector<double>& weights) {
    // All in units of the gradients' lengths.
    std::vector<double> coefficients(weights.size(), 0);
    coefficients[i] = 1;
    const std::span<const double> row = row_of(problem.cosine, i);
    std::vector<double> products(row.begin(), row.end());
    double length = std::sqrt(products[i]);
    for (const std::size_t j : random_order(problem, i, seed_)) {
      double& target = target_[problem.tasks[i] * state_.tasks() + problem.tasks[j]];
      const double phi = length > 0 ? std::clamp(products[j] / length, -1.0, 1.0) : 0;
      if (phi < target) {
        const double change = length * (target * sine(phi) - phi * sine(target)) / std::max(sine(target), 1e-8);
        coefficients[j] += change;
        add_scaled(change, row_of(problem.cosine, j), products);
        length = std::sqrt(std::max(0.0, dot(products, coefficients)));
      }
      target += beta_ * (phi - target);
    }
    for (std::size_t j = 0; j < weights.size(); ++j) weights[j] += coefficients[j] * problem.norm[i] / problem.norm[j];
  }

  double beta_;
  std::uint64_t seed_;
  std::vector<double>& target_;  // [tasks, tasks]
};

}  // namespace

std::unique_ptr<Balancer> make_gradvac(const BalancerSpec& spec) {
  return std::make_unique<GradVac>(spec);
}

}  // namespace polyhead
