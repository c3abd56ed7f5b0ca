#include "core/balancing/gram_balancer.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace polyhead {
namespace {

class StatelessGramBalancer : public GramBalancer {
 public:
  StatelessGramBalancer(std::string_view method, std::size_t tasks, GramFormula formula, bool needs_losses)
      : GramBalancer(method, tasks), formula_(std::move(formula)), needs_losses_(needs_losses) {}

 protected:
  std::vector<double> solve(const GramProblem& problem) override { return formula_(problem); }
  bool needs_losses() const override { return needs_losses_; }

 private:
  GramFormula formula_;
  bool needs_losses_;
};

bool all_finite(const std::vector<double>& values) {
  return std::ranges::all_of(values, [](double value) { return std::isfinite(value); });
}

// Returns nothing if a product is not finite.
std::optional<GramProblem> problem_of(const BalanceInput& input) {
  GramProblem problem;
  problem.step = input.step;
  double preferences = 0;
  for (std::size_t task = 0; task < input.active.size(); ++task) {
    if (!input.active[task]) continue;
    if (!std::isfinite(input.gram(task, task))) return std::nullopt;
    if (input.gram(task, task) <= 0) continue;
    problem.tasks.push_back(task);
    problem.norm.push_back(std::sqrt(input.gram(task, task)));
    problem.preference.push_back(input.static_weight[task]);
    problem.loss.push_back(task < input.loss.size() ? input.loss[task] : NAN);
    preferences += input.static_weight[task];
  }
  const std::size_t n = problem.tasks.size();
  for (double& preference : problem.preference)
    preference = preferences > 0 ? preference / preferences : 1 / static_cast<double>(n);
  problem.gram = problem.cosine = SquareMatrix(n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      const double value = input.gram(problem.tasks[i], problem.tasks[j]);
      if (!std::isfinite(value)) return std::nullopt;
      problem.gram(i, j) = value;
      problem.cosine(i, j) = i == j ? 1 : std::clamp(value / problem.norm[i] / problem.norm[j], -1.0, 1.0);
    }
  return problem;
}

}  // namespace

std::vector<double> GramBalancer::weights(const BalanceInput& input) {
  const std::optional<GramProblem> problem = problem_of(input);
  if (!problem || (needs_losses() && !all_finite(problem->loss))) return equal_weights(input.active);
  std::vector<double> weights(input.active.size(), 0);
  if (problem->tasks.empty()) return weights;
  const std::vector<double> found = solve(*problem);
  if (!all_finite(found)) return equal_weights(input.active);
  for (std::size_t i = 0; i < found.size(); ++i) weights[problem->tasks[i]] = found[i];
  return weights;
}

std::unique_ptr<Balancer> make_gram_balancer(std::string_view method, std::size_t tasks, GramFormula formula,
                                             bool needs_losses) {
  return std::make_unique<StatelessGramBalancer>(method, tasks, std::move(formula), needs_losses);
}

std::vector<double> equal_weights(const std::vector<bool>& active) {
  const auto count = std::ranges::count(active, true);
  std::vector<double> weights(active.size(), 0);
  for (std::size_t task = 0; task < weights.size(); ++task)
    if (active[task]) weights[task] = 1 / static_cast<double>(count);
  return weights;
}

}  // namespace polyhead
