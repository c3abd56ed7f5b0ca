// ConFIG (Liu et al., Towards Conflict-free Training of Physics Informed Neural Networks, arXiv 2408.11104): the
// direction has the same angle with all gradients; its length is the sum of the projections of the gradients onto it.
// With C the cosines, C^+ its pseudoinverse, a = C^+ 1 and n^2 = a' C a:
//   w_i = (sum over j of |g_j| (C a)_j) / n^2 * a_i / |g_i|
// If n = 0, no direction has it, and the weights are 0.
#include "core/balancing/gram_balancer.h"
#include "core/balancing/linear_algebra.h"
#include "core/balancing/methods.h"
#include "core/balancing/symmetric_eigen.h"

namespace polyhead {
namespace {

std::vector<double> con_fig(const GramProblem& problem) {
  const std::size_t n = problem.tasks.size();
  const std::vector<double> a = pseudo_solve(problem.cosine, std::vector<double>(n, 1));
  const std::vector<double> cosines = product(problem.cosine, a);
  const double square = dot(a, cosines);
  std::vector<double> weights(n, 0);
  if (!(square > 1e-20 * static_cast<double>(n))) return weights;
  const double length = dot(problem.norm, cosines) / square;
  for (std::size_t i = 0; i < n; ++i) weights[i] = length * a[i] / problem.norm[i];
  return weights;
}

}  // namespace

std::unique_ptr<Balancer> make_con_fig(const BalancerSpec& spec) {
  return make_gram_balancer("con_fig", spec.tasks.size(), con_fig);
}

}  // namespace polyhead
