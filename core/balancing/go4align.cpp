// GO4Align (Shen et al., Group Optimization for Multi-Task Alignment, arXiv 2404.06486): shares p_i, equal at first,
// are multiplied by exp(-lr L_i) for each new loss and scaled to sum to 1. With v_i = p_i (sum of L_j) / L_i, the v_i
// are divided into balance.go4align_groups groups so that the squares of the distances from the groups' means are
// smallest, and w_i is the mean of its group. One group gives equal weights. On the line, the best groups are found
// exactly, by dynamic programming, where the authors call k-means. State: log p.
#include <algorithm>
#include <limits>
#include <numeric>

#include "core/balancing/linear_algebra.h"
#include "core/balancing/loss_balancer.h"
#include "core/balancing/mass.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

// Where to cut the ascending values into at most `groups` groups of consecutive ones: the first index of each group.
std::vector<std::size_t> best_cuts(const std::vector<double>& values, std::size_t groups) {
  const std::size_t n = values.size();
  std::vector<double> sums(n + 1, 0), squares(n + 1, 0);
  for (std::size_t i = 0; i < n; ++i) {
    sums[i + 1] = sums[i] + values[i];
    squares[i + 1] = squares[i] + values[i] * values[i];
  }
  const auto cost = [&](std::size_t first, std::size_t end) {
    const double total = sums[end] - sums[first];
    return std::max(0.0, squares[end] - squares[first] - total * total / static_cast<double>(end - first));
  };
  // best[g][end]: the cost of the first `end` values in g + 1 groups; start[g][end]: where the last group begins.
  std::vector<std::vector<double>> best(groups, std::vector<double>(n + 1, std::numeric_limits<double>::infinity()));
  std::vector<std::vector<std::size_t>> start(groups, std::vector<std::size_t>(n + 1, 0));
  for (std::size_t end = 1; end <= n; ++end) best[0][end] = cost(0, end);
  for (std::size_t g = 1; g < groups; ++g)
    for (std::size_t end = g + 1; end <= n; ++end)
      for (std::size_t first = g; first < end; ++first)
        if (const double total = best[g - 1][first] + cost(first, end); total < best[g][end]) {
          best[g][end] = total;
          start[g][end] = first;
        }
  std::vector<std::size_t> cuts(groups);
  for (std::size_t g = groups, end = n; g-- > 0; end = cuts[g]) cuts[g] = start[g][end];
  return cuts;
}

class Go4Align : public LossBalancer {
 public:
  explicit Go4Align(const BalancerSpec& spec)
      : LossBalancer("go4align", spec.tasks.size(), spec.options.loss_floor),
        groups_(static_cast<std::size_t>(spec.options.go4align_groups)),
        learning_rate_(spec.options.go4align_lr),
        log_share_(state_.add("log_share", spec.tasks.size())) {
    remember_active_tasks();
  }

 protected:
  void learn(const LossProblem& problem) override {
    std::vector<double> exponent = problem.loss;
    for (double& value : exponent) value *= -learning_rate_;
    multiply_shares(log_share_, problem.tasks, exponent);
  }

  std::vector<double> formula(const LossProblem& problem) override {
    const std::size_t n = problem.tasks.size();
    std::vector<double> shares;
    for (const std::size_t task : problem.tasks) shares.push_back(log_share_[task]);
    shares = softmax(shares);
    for (std::size_t i = 0; i < n; ++i) shares[i] /= problem.loss[i];  // the sum of the losses is a common factor
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&shares](std::size_t i) { return shares[i]; });
    std::vector<double> sorted;
    for (const std::size_t i : order) sorted.push_back(shares[i]);

    const std::vector<std::size_t> cuts = best_cuts(sorted, std::min(groups_, n));
    for (std::size_t g = 0; g < cuts.size(); ++g) {
      const std::size_t end = g + 1 < cuts.size() ? cuts[g + 1] : n;
      const double mean = sum(std::span(sorted).subspan(cuts[g], end - cuts[g])) / static_cast<double>(end - cuts[g]);
      for (std::size_t k = cuts[g]; k < end; ++k) shares[order[k]] = mean;
    }
    return shares;
  }

 private:
  std::size_t groups_;
  double learning_rate_;
  std::vector<double>& log_share_;
};

}  // namespace

std::unique_ptr<Balancer> make_go4align(const BalancerSpec& spec) {
  return std::make_unique<Go4Align>(spec);
}

}  // namespace polyhead
