#include "core/balancing/loss_balancer.h"

#include <algorithm>
#include <cmath>

#include "core/balancing/gram_balancer.h"

namespace polyhead {
namespace {

constexpr double kSmallestLoss = 1e-8;

// Those of the tasks whose loss is known.
LossProblem problem_of(const BalanceInput& input, const std::vector<bool>& tasks, double loss_floor) {
  LossProblem problem;
  double preferences = 0;
  for (std::size_t task = 0; task < tasks.size(); ++task) {
    if (!tasks[task] || std::isnan(input.loss[task])) continue;
    problem.tasks.push_back(task);
    problem.loss.push_back(std::max(input.loss[task] - loss_floor, kSmallestLoss));
    problem.preference.push_back(input.static_weight[task]);
    preferences += input.static_weight[task];
  }
  for (double& preference : problem.preference)
    preference = preferences > 0 ? preference / preferences : 1 / static_cast<double>(problem.tasks.size());
  return problem;
}

}  // namespace

LossBalancer::LossBalancer(std::string_view method, std::size_t tasks, double loss_floor)
    : state_(method, tasks), loss_floor_(loss_floor) {}

void LossBalancer::remember_active_tasks() {
  active_before_ = &state_.add("active", state_.tasks());
}

std::string LossBalancer::state() const {
  return state_.text();
}

void LossBalancer::restore(const std::string& state) {
  state_.restore(state);
}

std::vector<double> LossBalancer::weights(const BalanceInput& input) {
  std::vector<double> weights = equal_weights(input.active);
  if (std::ranges::any_of(input.loss, [](double loss) { return std::isinf(loss); })) return weights;
  if (active_before_ != nullptr) {
    std::vector<bool> trained(active_before_->size());
    for (std::size_t task = 0; task < trained.size(); ++task) trained[task] = (*active_before_)[task] != 0;
    learn(problem_of(input, trained, loss_floor_));
    for (std::size_t task = 0; task < trained.size(); ++task) (*active_before_)[task] = input.active[task] ? 1 : 0;
  }
  const LossProblem problem = problem_of(input, input.active, loss_floor_);
  if (problem.tasks.empty()) return weights;
  const std::vector<double> shares = formula(problem);
  double total = 0;
  for (const double share : shares) total += share;
  if (!(total > 0) || !std::isfinite(total)) return weights;
  const double known = static_cast<double>(problem.tasks.size()) * weights[problem.tasks.front()];
  for (std::size_t i = 0; i < shares.size(); ++i) weights[problem.tasks[i]] = known * (shares[i] / total);
  return weights;
}

std::vector<double> softmax(std::vector<double> x) {
  const double largest = *std::ranges::max_element(x);
  double total = 0;
  for (double& value : x) total += value = std::exp(value - largest);
  for (double& value : x) value /= total;
  return x;
}

}  // namespace polyhead
