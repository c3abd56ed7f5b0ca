// Multi-Krum (Blanchard et al., Machine Learning with Adversaries, 2017): selects the tasks whose gradients are nearest
// to those of others, and takes the mean of their gradients. The score of a task is the sum of the distances to its
// n - f - 2 nearest ones, where f = balance.krum_byzantine; as in TorchJD, distances are not squared. The
// balance.krum_selected tasks with the lowest scores, the first ones among equals, have equal weights that sum to 1.
// The method needs f + 3 tasks; with fewer, all have equal weights.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/balancing/gram_balancer.h"
#include "core/balancing/linear_algebra.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

// The sum of the distances of task i to the `count` nearest others.
double score(const SquareMatrix& gram, std::size_t i, std::size_t count) {
  std::vector<double> distances;
  for (std::size_t j = 0; j < gram.size(); ++j)
    if (j != i) distances.push_back(std::sqrt(std::max(0.0, gram(i, i) + gram(j, j) - 2 * gram(i, j))));
  std::ranges::sort(distances);
  return sum(std::span(distances).first(count));
}

std::vector<double> krum(const GramProblem& problem, std::size_t byzantine, std::size_t selected) {
  const std::size_t n = problem.tasks.size();
  if (n < byzantine + 3) return std::vector<double>(n, 1 / static_cast<double>(n));
  std::vector<double> scores(n);
  for (std::size_t i = 0; i < n; ++i) scores[i] = score(problem.gram, i, n - byzantine - 2);
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&scores](std::size_t i) { return scores[i]; });
  const std::size_t count = std::min(selected, n);
  std::vector<double> weights(n, 0);
  for (std::size_t k = 0; k < count; ++k) weights[order[k]] = 1 / static_cast<double>(count);
  return weights;
}

}  // namespace

std::unique_ptr<Balancer> make_krum(const BalancerSpec& spec) {
  const auto byzantine = static_cast<std::size_t>(spec.options.krum_byzantine);
  const auto selected = static_cast<std::size_t>(spec.options.krum_selected);
  return make_gram_balancer("krum", spec.tasks.size(), [byzantine, selected](const GramProblem& problem) {
    return krum(problem, byzantine, selected);
  });
}

}  // namespace polyhead
