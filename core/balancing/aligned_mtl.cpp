// Aligned-MTL (Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023): the gradients are
// replaced by the nearest ones that are orthogonal and of equal length. With the eigenvalues l and eigenvectors V of G,
// without eigenvalues below rounding, B = sqrt(s) V diag(1 / sqrt(l)) V', and w = B p, where p are the preferences (1 /
// n by default). s is the smallest of these eigenvalues, their median or their mean (balance.aligned_mtl_scale).
//
// An eigenvalue below 2e-16 n times the largest one counts as 0: gradients that are 10^8 times smaller than others are
// lost, as in TorchJD.
#include <cmath>

#include "core/balancing/gram_balancer.h"
#include "core/balancing/linear_algebra.h"
#include "core/balancing/methods.h"
#include "core/balancing/symmetric_eigen.h"

namespace polyhead {
namespace {

// values: descending, not empty.
double scale_of(const std::vector<double>& values, AlignedScale scale) {
  switch (scale) {
    case AlignedScale::min:
      return values.back();
    case AlignedScale::median:
      return values[values.size() / 2];  // of an even number, the lower one
    case AlignedScale::rmse:
      return sum(values) / static_cast<double>(values.size());
  }
  return values.back();
}

std::vector<double> aligned_mtl(const GramProblem& problem, AlignedScale scale) {
  const SymmetricEigen eigen = symmetric_eigen(problem.gram, problem.preference);
  if (eigen.values.empty()) return problem.preference;
  std::vector<double> factor = eigen.values;
  for (double& value : factor) value = std::sqrt(scale_of(eigen.values, scale) / value);
  return combine(eigen, factor);
}

}  // namespace

std::unique_ptr<Balancer> make_aligned_mtl(const BalancerSpec& spec) {
  const AlignedScale scale = spec.options.aligned_mtl_scale;
  return make_gram_balancer("aligned_mtl", spec.tasks.size(),
                            [scale](const GramProblem& problem) { return aligned_mtl(problem, scale); });
}

}  // namespace polyhead
