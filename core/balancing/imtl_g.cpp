// IMTL-G (Liu et al., Towards Impartial Multi-Task Learning, ICLR 2021): the direction d has equal projections onto all
// gradients, d · g_i / |g_i|. With C the cosines and b a solution of C b = 1, w_i = b_i / |g_i|, scaled so that the
// weights sum to 1; some may be negative.
//
// If gradients are linearly dependent, b is the least-squares solution of smallest norm. TorchJD solves G v = |g| by
// the pseudoinverse of G instead: that gives the same if G has full rank in double precision, but it drops gradients
// that are much smaller than others. The weights are 0 if their sum is below 1e-12 times that of their absolute values.
#include <cmath>

#include "core/balancing/gram_balancer.h"
#include "core/balancing/linear_algebra.h"
#include "core/balancing/methods.h"
#include "core/balancing/symmetric_eigen.h"

namespace polyhead {
namespace {

std::vector<double> imtl_g(const GramProblem& problem) {
  const std::size_t n = problem.tasks.size();
  std::vector<double> weights = pseudo_solve(problem.cosine, std::vector<double>(n, 1));
  double absolute = 0;
  for (std::size_t i = 0; i < n; ++i) absolute += std::abs(weights[i] /= problem.norm[i]);
  const double total = sum(weights);
  if (std::abs(total) <= 1e-12 * absolute) return std::vector<double>(n, 0);
  for (double& weight : weights) weight /= total;
  return weights;
}

}  // namespace

std::unique_ptr<Balancer> make_imtl_g(const BalancerSpec& spec) {
  return make_gram_balancer("imtl_g", spec.tasks.size(), imtl_g);
}

}  // namespace polyhead
