// UPGrad (Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, arXiv 2406.16232): the gradient of each
// task, times its preference u_i, is projected onto the cone of directions that hurt no task, and the projections are
// summed: w = sum over i of argmin v' G v, subject to v >= u_i e_i. Then (G w)_i >= 0 for all i.
//
// DualProj (Lopez-Paz and Ranzato, Gradient Episodic Memory, 2017, equation 11) projects the weighted mean of the
// gradients once: w = argmin v' G v, subject to v >= u.
//
// Both are solved in y_i = v_i |g_i| with the matrix of cosines. To that, 1e-8 is added on the diagonal. TorchJD adds
// 1e-4 to G / trace(G) instead, which switches the projection off for tasks whose gradients are 100 times smaller.
#include "core/balancing/gram_balancer.h"
#include "core/balancing/methods.h"
#include "core/balancing/nonnegative_qp.h"

namespace polyhead {
namespace {

constexpr double kRegularizer = 1e-8;

SquareMatrix regularized(SquareMatrix cosine) {
  for (std::size_t i = 0; i < cosine.size(); ++i) cosine(i, i) += kRegularizer;
  return cosine;
}

// Adds to y the projection of the sum of bound_i times unit gradient i, as weights of the unit gradients.
void add_projection(const SquareMatrix& matrix, NonnegativeQp& program, const std::vector<double>& bound,
                    std::vector<double>& y) {
  std::vector<double> b = product(matrix, bound);
  for (double& value : b) value = -value;
  program.reset();
  program.solve(b);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += bound[i] + program.x()[i];
}

std::vector<double> over_norms(std::vector<double> y, const std::vector<double>& norm) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] /= norm[i];
  return y;
}

std::vector<double> upgrad(const GramProblem& problem) {
  const std::size_t n = problem.tasks.size();
  const SquareMatrix matrix = regularized(problem.cosine);
  NonnegativeQp program(matrix, 0);
  std::vector<double> y(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> bound(n, 0);
    bound[i] = problem.preference[i] * problem.norm[i];
    add_projection(matrix, program, bound, y);
  }
  return over_norms(y, problem.norm);
}

std::vector<double> dual_proj(const GramProblem& problem) {
  const SquareMatrix matrix = regularized(problem.cosine);
  NonnegativeQp program(matrix, 0);
  std::vector<double> bound = problem.preference, y(problem.tasks.size(), 0);
  for (std::size_t i = 0; i < bound.size(); ++i) bound[i] *= problem.norm[i];
  add_projection(matrix, program, bound, y);
  return over_norms(y, problem.norm);
}

}  // namespace

std::unique_ptr<Balancer> make_upgrad(const BalancerSpec& spec) {
  return make_gram_balancer("upgrad", spec.tasks.size(), upgrad);
}

std::unique_ptr<Balancer> make_dual_proj(const BalancerSpec& spec) {
  return make_gram_balancer("dual_proj", spec.tasks.size(), dual_proj);
}

}  // namespace polyhead
