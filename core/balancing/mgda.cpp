// MGDA (Désidéri, 2012; Sener and Koltun, arXiv 1810.04650): the combination of the gradients, with weights that are
// not negative and sum to 1, that has the smallest norm: w = argmin w' G w. Then (G w)_i >= w' G w for all i. With
// balance.mgda_normalize = l2, loss or loss+, the gradients are first divided by n_i = |g_i|, L_i or L_i |g_i|, so that
// the weights are w_i / n_i.
//
// TorchJD's weights come from at most 100 steps of Frank and Wolfe's method and differ where these do not suffice; with
// norms that differ by 10,000, it needs some 38,000 steps. Here they come from an exact method: w is proportional to
// the x >= 0 that minimises x' G x + (sum of x_i - 1)^2 times any positive number. In y_i = x_i |g_i|, with a number
// that makes the entries of both terms at most 1, the matrix is that of the cosines plus e e', where e_i = min |g| /
// |g_i|.
#include <algorithm>

#include "core/balancing/gram_balancer.h"
#include "core/balancing/methods.h"
#include "core/balancing/nonnegative_qp.h"

namespace polyhead {
namespace {

constexpr double kRegularizer = 1e-14;  // on the diagonal of the cosines: linearly dependent gradients
constexpr double kSmallestLoss = 1e-8;  // of a loss that gradients are divided by

// norm: lengths of the gradients, normalised.
std::vector<double> min_norm_weights(const SquareMatrix& cosine, const std::vector<double>& norm) {
  const std::size_t n = norm.size();
  const double smallest = *std::ranges::min_element(norm);
  std::vector<double> e(n);
  for (std::size_t i = 0; i < n; ++i) e[i] = smallest / norm[i];
  SquareMatrix matrix = cosine;
  for (std::size_t i = 0; i < n; ++i) {
    matrix(i, i) += kRegularizer;
    for (std::size_t j = 0; j < n; ++j) matrix(i, j) += e[i] * e[j];
  }
  NonnegativeQp program(matrix, 1e-15);
  program.solve(e);
  std::vector<double> weights(n);
  for (std::size_t i = 0; i < n; ++i) weights[i] = program.x()[i] * e[i];
  const double total = sum(weights);
  for (double& weight : weights) weight /= total;
  return weights;
}

std::vector<double> mgda(const GramProblem& problem, MgdaNormalize normalize) {
  std::vector<double> divisor(problem.tasks.size(), 1), norm = problem.norm;
  for (std::size_t i = 0; i < divisor.size(); ++i) {
    if (normalize == MgdaNormalize::loss || normalize == MgdaNormalize::loss_l2)
      divisor[i] *= std::max(problem.loss[i], kSmallestLoss);
    if (normalize == MgdaNormalize::l2 || normalize == MgdaNormalize::loss_l2) divisor[i] *= problem.norm[i];
    norm[i] /= divisor[i];
  }
  std::vector<double> weights = min_norm_weights(problem.cosine, norm);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] /= divisor[i];
  return weights;
}

}  // namespace

std::unique_ptr<Balancer> make_mgda(const BalancerSpec& spec) {
  const MgdaNormalize normalize = spec.options.mgda_normalize;
  const bool losses = normalize == MgdaNormalize::loss || normalize == MgdaNormalize::loss_l2;
  return make_gram_balancer(
      "mgda", spec.tasks.size(), [normalize](const GramProblem& problem) { return mgda(problem, normalize); }, losses);
}

}  // namespace polyhead
