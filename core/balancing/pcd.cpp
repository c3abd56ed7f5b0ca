// Priority-Constrained Descent (arXiv 2606.29521): the direction nearest to the gradient of the primary task that keeps
// at least a share tau of the progress that each other task would make along its own gradient. With g~_i = s_i g_i,
// where s_i = 1 / sqrt(v_i + 1e-8) and v_i is the bias-corrected moving average of |g_i|^2 with decay beta:
//   d = argmin |d - g~_1|^2 / 2, subject to g~_j · d >= tau |g~_j|^2 for the others,
// scaled to the length of g_1. Definitions and defaults are those of TorchJD 0.18.
// - No direction satisfies all constraints: d = g_1.
// - d = 0 up to rounding, or the primary task takes no part in this step: the weights are 0.
// State: the moving averages, each corrected by its own number of steps, which do not change while a task takes no
// part.
#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/balancing/gram_balancer.h"
#include "core/balancing/methods.h"
#include "core/balancing/nonnegative_qp.h"
#include "core/base/error.h"

namespace polyhead {
namespace {

constexpr double kEpsilon = 1e-8;     // added to v
constexpr double kDependence = 1e-9;  // of linearly dependent gradients, relative to their squares

std::size_t primary_of(const BalancerSpec& spec) {
  const std::string& name = spec.options.primary;
  if (name.empty()) return 0;
  const auto found = std::ranges::find(spec.tasks, name);
  if (found == spec.tasks.end())
    throw Error(Exit::config, fmt::format("balance.primary = {}: the run has no such task; its tasks are {}", name,
                                          fmt::join(spec.tasks, ", ")));
  return static_cast<std::size_t>(found - spec.tasks.begin());
}

class PriorityConstrainedDescent : public GramBalancer {
 public:
  explicit PriorityConstrainedDescent(const BalancerSpec& spec)
      : GramBalancer("pcd", spec.tasks.size()),
        primary_(primary_of(spec)),
        tau_(spec.options.pcd_tau),
        beta_(spec.options.pcd_beta),
        average_(state_.add("average", spec.tasks.size())),
        steps_(state_.add("steps", spec.tasks.size())) {}

 protected:
  std::vector<double> solve(const GramProblem& problem) override {
    const std::vector<double> scales = update_scales(problem);
    std::vector<double> weights(problem.tasks.size(), 0);
    const auto found = std::ranges::find(problem.tasks, primary_);
    if (found == problem.tasks.end()) return weights;
    const auto first = static_cast<std::size_t>(found - problem.tasks.begin());
    std::vector<double> norm = problem.norm;  // of g~
    for (std::size_t i = 0; i < norm.size(); ++i) norm[i] *= scales[i];
    const std::vector<double> y = direction(problem.cosine, norm, first);

    const double square = quadratic_form(problem.cosine, y), total = sum(y);
    if (!(square > 10 * std::numeric_limits<double>::epsilon() * total * total)) return weights;
    const double length = problem.norm[first] / std::sqrt(square);
    for (std::size_t i = 0; i < y.size(); ++i) weights[i] = y[i] * length / problem.norm[i];
    return weights;
  }

 private:
  std::vector<double> update_scales(const GramProblem& problem) {
    std::vector<double> scales;
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      const std::size_t task = problem.tasks[i];
      steps_[task] += 1;
      average_[task] = beta_ * average_[task] + (1 - beta_) * problem.gram(i, i);
      const double corrected = average_[task] / (1 - std::pow(beta_, steps_[task]));
      scales.push_back(1 / std::sqrt(corrected + kEpsilon));
    }
    return scales;
  }

  // Returns the y_i >= 0 with which d is the sum of y_i g_i / |g_i|. The multipliers of the constraints solve a
  // quadratic program with bounds.
  std::vector<double> direction(const SquareMatrix& cosine, const std::vector<double>& norm, std::size_t first) const {
    const std::size_t n = norm.size();
    std::vector<std::size_t> others;
    for (std::size_t i = 0; i < n; ++i)
      if (i != first) others.push_back(i);
    SquareMatrix matrix(others.size());
    std::vector<double> b(others.size());
    for (std::size_t k = 0; k < others.size(); ++k) {
      for (std::size_t l = 0; l < others.size(); ++l) matrix(k, l) = cosine(others[k], others[l]);
      b[k] = tau_ * norm[others[k]] - norm[first] * cosine(others[k], first);
    }
    std::vector<double> y(n, 0);
    y[first] = norm[first];
    NonnegativeQp program(matrix, kDependence);
    if (!program.solve(b)) return y;
    for (std::size_t k = 0; k < others.size(); ++k) y[others[k]] = program.x()[k];
    return y;
  }

  std::size_t primary_;
  double tau_, beta_;
  std::vector<double>& average_;  // [tasks] of |g|^2, not corrected
  std::vector<double>& steps_;    // [tasks] that it has seen
};

}  // namespace

std::unique_ptr<Balancer> make_pcd(const BalancerSpec& spec) {
  return std::make_unique<PriorityConstrainedDescent>(spec);
}

}  // namespace polyhead
