// The part that balancers of losses have in common: which losses are known, and which are new.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/balancing/balancer.h"
#include "core/balancing/balancer_state.h"

namespace polyhead {

// The n tasks that a formula is about.
struct LossProblem {
  std::vector<std::size_t> tasks;  // [n] their numbers among all tasks, ascending
  std::vector<double> loss;  // [n] above balance.loss_floor, by 1e-8 at least: formulas divide and take logarithms
  std::vector<double> preference;  // [n] task.NAME.weight, scaled so that they sum to 1
};

// The weights of all active tasks sum to 1. An active task whose loss is not known (NaN) has 1 / (number of active
// tasks); the others share the rest by the formula. If a loss is infinite, all active tasks have the same weight, and
// nothing is learned.
class LossBalancer : public Balancer {
 public:
  LossBalancer(std::string_view method, std::size_t tasks, double loss_floor);

  Reads reads() const override { return Reads::losses; }
  std::vector<double> weights(const BalanceInput& input) final;
  std::string state() const final;
  void restore(const std::string& state) final;

 protected:
  // A method that learns calls this in its constructor, and adds rows to state_.
  void remember_active_tasks();
  // Learns from the tasks that were active when the weights were computed before: their losses are new.
  virtual void learn(const LossProblem& /*problem*/) {}
  // Returns [n], not negative, not all 0; the caller scales them.
  virtual std::vector<double> formula(const LossProblem& problem) = 0;

  BalancerState state_;  // rows for all tasks

 private:
  double loss_floor_;
  std::vector<double>* active_before_ = nullptr;  // [tasks] 0 or 1
};

// Returns exp(x_i) / sum of exp(x_j).
std::vector<double> softmax(std::vector<double> x);

}  // namespace polyhead
