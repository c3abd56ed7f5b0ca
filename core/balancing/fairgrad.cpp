// FairGrad (Ban and Ji, Fair Resource Allocation in Multi-Task Learning, arXiv 2402.15638): G w = w^(-1/alpha), w > 0.
// Nash-MTL (Navon et al., Multi-Task Learning as a Bargaining Game, arXiv 2202.01017) is alpha = 1: G w = 1 / w, where
// |d|^2 = w' G w = n. Neither is scaled; TorchJD and the authors scale Nash-MTL's d down to a length of at most 1.
//
// Solver: w is the minimum of a strictly convex function. In y_i = w_i |g_i| and with p = 1 / alpha, c_i = |g_i|^(p -
// 1) it is y' C y / 2 + sum of c_i h(y_i), where h' = -y^-p. Newton's method, with a step of at most 1 that keeps y
// positive and decreases the function, takes six to ten steps.
//
// Pareto-stationary: the minimum is at infinity, so 1e-12 is added to the diagonal of the cosines. The weights are then
// large (w_i |g_i| <= 10^6 for Nash-MTL), but their direction is 0 up to rounding.
#include <algorithm>
#include <cmath>

#include "core/balancing/gram_balancer.h"
#include "core/balancing/linear_algebra.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

constexpr double kRegularizer = 1e-12;
constexpr int kIterations = 200, kPatience = 10;

class FairGradSolver {
 public:
  FairGradSolver(const GramProblem& problem, double alpha)
      : matrix_(problem.cosine), p_(1 / alpha), scale_(problem.norm), y_(problem.norm) {
    for (std::size_t i = 0; i < y_.size(); ++i) {
      matrix_(i, i) += kRegularizer;
      scale_[i] = std::pow(problem.norm[i], p_ - 1);
      y_[i] = std::pow(scale_[i], 1 / (1 + p_));  // the solution for orthogonal gradients
    }
  }

  // Returns the y_i.
  const std::vector<double>& solve() {
    double value = objective(y_), smallest = INFINITY;
    int since = 0;  // iterations in which the largest change has not halved
    for (int iteration = 0; iteration < kIterations; ++iteration) {
      const std::vector<double> change = newton_step();
      double largest = 0;  // relative to y
      for (const double part : change) largest = std::max(largest, std::abs(part));
      if (!std::isfinite(largest)) break;
      double step = 1;
      for (const double part : change)
        if (part < 0) step = std::min(step, 0.95 / -part);
      std::vector<double> next(y_.size());
      double found = value;
      for (int halving = 0; halving < 40; ++halving, step /= 2) {
        for (std::size_t i = 0; i < y_.size(); ++i) next[i] = y_[i] * (1 + step * change[i]);
        found = objective(next);
        // Near the minimum, and for very small y, the decrease is below rounding.
        if (found <= value - 1e-4 * step * decrement_ || decrement_ <= 1e-11 * (1 + std::abs(value))) break;
      }
      y_ = next;
      value = found;
      if (largest < 1e-12) break;  // converged
      if (largest < smallest / 2) {
        smallest = largest;
        since = 0;
      } else if (smallest < 1e-3 && ++since == kPatience) {
        break;  // down to rounding
      }
    }
    return y_;
  }

 private:
  double objective(const std::vector<double>& y) const {
    double value = quadratic_form(matrix_, y) / 2;
    for (std::size_t i = 0; i < y.size(); ++i)
      value += p_ == 1 ? -std::log(y[i]) : scale_[i] * std::pow(y[i], 1 - p_) / (p_ - 1);
    return value;
  }

  // Newton's step of the logarithms of y to first order: relative changes. The system is scaled so that its diagonal
  // is 1.
  std::vector<double> newton_step() {
    const std::size_t n = y_.size();
    const std::vector<double> force = product(matrix_, y_);
    std::vector<double> diagonal(n), change(n), products(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double barrier = scale_[i] * std::pow(y_[i], 1 - p_);
      diagonal[i] = std::sqrt(y_[i] * matrix_(i, i) * y_[i] + p_ * barrier);
      change[i] = (barrier - y_[i] * force[i]) / diagonal[i];
    }
    const std::vector<double> right = change;
    GrowingCholesky factor(n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < i; ++j) products[j] = y_[i] / diagonal[i] * matrix_(i, j) * (y_[j] / diagonal[j]);
      if (!factor.append(products, 1, 0)) return std::vector<double>(n, 0);  // not positive definite in double
    }
    factor.solve(change);
    decrement_ = dot(right, change);
    for (std::size_t i = 0; i < n; ++i) change[i] /= diagonal[i];
    return change;
  }

  SquareMatrix matrix_;
  double p_;
  std::vector<double> scale_;  // c
  std::vector<double> y_;
  double decrement_ = 0;
};

// The equation is homogeneous, so it is solved for gradients whose largest norm is 1: norms to large powers overflow.
std::vector<double> fairgrad(GramProblem problem, double alpha) {
  const double longest = *std::ranges::max_element(problem.norm);
  for (double& norm : problem.norm) norm /= longest;
  std::vector<double> weights = FairGradSolver(problem, alpha).solve();
  const double scale = std::pow(longest, -2 * alpha / (1 + alpha));
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] *= scale / problem.norm[i];
  return weights;
}

}  // namespace

std::unique_ptr<Balancer> make_fairgrad(const BalancerSpec& spec) {
  const double alpha = spec.options.fairgrad_alpha;
  return make_gram_balancer("fairgrad", spec.tasks.size(),
                            [alpha](const GramProblem& problem) { return fairgrad(problem, alpha); });
}

std::unique_ptr<Balancer> make_nash_mtl(const BalancerSpec& spec) {
  return make_gram_balancer("nash_mtl", spec.tasks.size(),
                            [](const GramProblem& problem) { return fairgrad(problem, 1); });
}

}  // namespace polyhead
