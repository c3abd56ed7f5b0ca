// See balance.h.
#include "distributed/step/balance.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyhead {
namespace {

std::vector<bool> active_in(const StepRecord& step) {
  std::vector<bool> active;
  for (std::size_t task = 0; task < step.targets.size(); ++task) active.push_back(step.active(task));
  return active;
}

}  // namespace

std::vector<std::size_t> active_tasks(const StepRecord& step) {
  std::vector<std::size_t> tasks;
  for (std::size_t task = 0; task < step.targets.size(); ++task)
    if (step.active(task)) tasks.push_back(task);
  return tasks;
}

bool reads_gradients(const BalancerOptions& options, const std::vector<std::string>& tasks) {
  return make_balancer(options, tasks, 1)->reads() >= Balancer::Reads::norms;
}

Balance::Balance(const TrainOptions& options)
    : options_(options),
      balancer_(make_balancer(options.balancer, options.tasks, options.seed)),
      losses_(options.tasks.size(), std::numeric_limits<double>::quiet_NaN()),
      weights_(options.tasks.size(), 0) {}

bool Balance::reads_gradients() const {
  return balancer_->reads() >= Balancer::Reads::norms;
}

bool Balance::reports(std::int64_t step) const {
  const std::int64_t every = options_.surgery.telemetry_every;
  return every > 0 && step % every == 0 && options_.tasks.size() > 1 && step > options_.freeze_encoder &&
         balancer_->reads() != Balancer::Reads::gram;
}

BalanceInput Balance::input(const StepRecord& step) const {
  BalanceInput input{.step = step.number, .active = active_in(step), .static_weight = {}, .loss = losses_, .gram = {}};
  for (const std::string& task : options_.tasks) input.static_weight.push_back(options_.task_options.at(task).weight);
  return input;
}

std::vector<double> Balance::loss_weights(const StepRecord& step, const std::vector<double>& losses) {
  if (reads_gradients()) {
    const std::vector<bool> active = active_in(step);
    const auto count = static_cast<double>(std::ranges::count(active, true));
    std::vector<double> equal;
    for (const bool is : active) equal.push_back(is ? 1 / count : 0);
    return equal;
  }
  BalanceInput with = input(step);
  if (!losses.empty()) with.loss = losses;
  weights_ = balancer_->weights(with);
  return weights_;
}

bool Balance::measures(const StepRecord& step) const {
  return (step.number - 1) % options_.surgery.every == 0 || solved_ != active_in(step);
}

const std::vector<double>& Balance::solve(const StepRecord& step, const std::vector<double>& losses,
                                          const SquareMatrix& gram) {
  BalanceInput with = input(step);
  with.loss = losses;
  with.gram = gram;
  weights_ = balancer_->weights(with);
  solved_ = with.active;
  if (!diagonal_only()) make_report(step, gram, {});
  return weights_;
}

void Balance::make_report(const StepRecord& step, const SquareMatrix& gram, const Sketched& sketched) {
  report_ = gradient_report(active_tasks(step), gram, weights_);
  report_->sketch = sketched.size;
  report_->seconds = sketched.seconds;
}

void Balance::store(const StepRecord& step) {
  for (const std::size_t task : active_tasks(step))
    if (const double loss = step.mean_loss(task); std::isfinite(loss)) losses_[task] = loss;
}

BalanceState Balance::state() const {
  BalanceState state{balancer_->state()};
  if (balancer_->reads() == Balancer::Reads::losses) state.loss = losses_;
  if (reads_gradients() && options_.surgery.every > 1) state.weight = weights_, state.active = solved_;
  return state;
}

void Balance::restore(const BalanceState& state) {
  balancer_->restore(state.balancer);
  if (!state.loss.empty()) losses_ = state.loss;
  if (!state.weight.empty()) weights_ = state.weight, solved_ = state.active;
}

}  // namespace polyhead
