// CAGrad (Liu et al., Conflict-Averse Gradient Descent, arXiv 2110.14048): of all directions d within c |g0| of the
// mean gradient g0, the one that maximises the smallest d · g_i. d = g0 + phi g_w / |g_w|, where phi = c |g0|, g_w is
// the sum of w_i g_i, and w minimises g_w · g0 + phi |g_w| over w >= 0 that sum to 1; the weights are 1 / n + phi w_i /
// |g_w|. c = 0 gives the mean, c -> infinity the direction of MGDA. There is no division by 1 + c, as in TorchJD.
//
// Solver: d is also the point nearest to g0 where all d · g_i >= t, for the t where its distance from g0 is phi. For a
// given t that is a quadratic program with bounds, in y_i = v_i |g_i| where d = g0 + sum of v_i g_i. The distance is a
// convex function of t, so Newton's method finds t from above.
//
// Pareto-stationary: no such t exists, since g_w = 0 for some w. The weights are 0 if |g_w| is below 1e-5 times the sum
// of w_i |g_i|. TorchJD has 0 below 1e-4 times the root of the sum of |g_i|^2, which also holds for one small gradient.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/balancing/gram_balancer.h"
#include "core/balancing/methods.h"
#include "core/balancing/nonnegative_qp.h"

namespace polyhead {
namespace {

constexpr double kRegularizer = 1e-13;  // on the diagonal of the cosines
constexpr double kStationary = 1e-5;
constexpr int kIterations = 100;  // about ten are used

class CaGradSolver {
 public:
  CaGradSolver(const GramProblem& problem, double c)
      : problem_(problem), matrix_(problem.cosine), program_(matrix_, 1e-15), n_(problem.tasks.size()) {
    for (std::size_t i = 0; i < n_; ++i) matrix_(i, i) += kRegularizer;
    // Lengths are relative to the longest gradient, so that squares do not overflow.
    longest_ = *std::ranges::max_element(problem.norm);
    std::vector<double> mean(n_);
    for (std::size_t i = 0; i < n_; ++i) mean[i] = problem.norm[i] / longest_ / static_cast<double>(n_);
    along_ = product(problem.cosine, mean);
    radius_ = c * std::sqrt(std::max(0.0, dot(mean, along_)));
  }

  // Returns the v_i.
  std::vector<double> solve() {
    std::vector<double> v(n_, 0);
    if (radius_ <= 0 || !search()) return v;
    const std::vector<double>& y = program_.x();
    const double length = std::sqrt(quadratic_form(problem_.cosine, y)), total = sum(y);
    if (!(length > kStationary * total)) return std::vector<double>(n_, -1 / static_cast<double>(n_));
    for (std::size_t i = 0; i < n_; ++i) v[i] = y[i] * (radius_ / length) * (longest_ / problem_.norm[i]);
    return v;
  }

 private:
  // Sets the program's b for t: d · g_i >= t, divided by |g_i|.
  std::vector<double> bound(double t) const {
    std::vector<double> b(n_);
    for (std::size_t i = 0; i < n_; ++i) b[i] = t * longest_ / problem_.norm[i] - along_[i];
    return b;
  }

  // Finds t. Returns false if it is below all g0 · g_i, up to rounding.
  bool search() {
    double low = std::numeric_limits<double>::infinity(), high = low;
    for (std::size_t i = 0; i < n_; ++i) {
      const double norm = problem_.norm[i] / longest_;
      low = std::min(low, along_[i] * norm);
      high = std::min(high, (along_[i] + radius_ * std::sqrt(matrix_(i, i))) * norm);
    }
    double t = high;
    for (int iteration = 0; iteration < kIterations; ++iteration) {
      const std::vector<double> b = bound(t);
      const bool bounded = program_.solve(b);
      const double distance = std::sqrt(std::max(0.0, dot(program_.x(), b)));
      if (!bounded || !(distance > 0)) {
        (bounded ? low : high) = t;
        t = (low + high) / 2;
      } else {
        if (std::abs(distance - radius_) <= 1e-13 * radius_) break;
        (distance < radius_ ? low : high) = t;
        // The derivative of half the square of the distance is y · (db / dt).
        double slope = 0;
        for (std::size_t i = 0; i < n_; ++i) slope += program_.x()[i] * longest_ / problem_.norm[i];
        const double next = t - (distance - radius_) * distance / slope;
        t = next > low && next < high ? next : (low + high) / 2;
      }
      if (high - low <= 1e-16 * std::max(std::abs(low), std::abs(high))) break;
    }
    return sum(program_.x()) > 0;
  }

  const GramProblem& problem_;
  SquareMatrix matrix_;
  NonnegativeQp program_;
  std::size_t n_;
  double longest_ = 1;
  double radius_ = 0;          // phi / longest_
  std::vector<double> along_;  // [n] g0 · g_i / |g_i| / longest_
};

std::vector<double> cagrad(const GramProblem& problem, double c) {
  std::vector<double> weights = CaGradSolver(problem, c).solve();
  for (double& weight : weights) weight += 1 / static_cast<double>(weights.size());
  return weights;
}

}  // namespace

std::unique_ptr<Balancer> make_cagrad(const BalancerSpec& spec) {
  const double c = spec.options.cagrad_c;
  return make_gram_balancer("cagrad", spec.tasks.size(),
                            [c](const GramProblem& problem) { return cagrad(problem, c); });
}

}  // namespace polyhead
