// PCGrad (Yu et al., Gradient Surgery for Multi-Task Learning, arXiv 2001.06782): the gradient of each task is
// projected, in random order, onto the normal plane of each gradient that it conflicts with; the results are summed, as
// in TorchJD. The result for a task is a combination of the gradients with coefficients c, so G suffices: if s = (G
// c)_j < 0, then c_j -= s / G_jj.
#include "core/balancing/gram_balancer.h"
#include "core/balancing/linear_algebra.h"
#include "core/balancing/methods.h"
#include "core/balancing/random_order.h"

namespace polyhead {
namespace {

// In units of the gradients' lengths: coefficients of unit gradients.
std::vector<double> pcgrad(const GramProblem& problem, std::uint64_t seed) {
  const SquareMatrix& cosine = problem.cosine;
  const std::size_t n = problem.tasks.size();
  std::vector<double> weights(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> coefficients(n, 0);
    coefficients[i] = 1;
    const std::span<const double> row = row_of(cosine, i);
    std::vector<double> products(row.begin(), row.end());
    for (const std::size_t j : random_order(problem, i, seed)) {
      const double conflict = products[j];
      if (conflict >= 0) continue;
      coefficients[j] -= conflict;
      add_scaled(-conflict, row_of(cosine, j), products);
    }
    for (std::size_t j = 0; j < n; ++j) weights[j] += coefficients[j] * problem.norm[i] / problem.norm[j];
  }
  return weights;
}

}  // namespace

std::unique_ptr<Balancer> make_pcgrad(const BalancerSpec& spec) {
  const std::uint64_t seed = spec.seed;
  return make_gram_balancer("pcgrad", spec.tasks.size(),
                            [seed](const GramProblem& problem) { return pcgrad(problem, seed); });
}

}  // namespace polyhead
