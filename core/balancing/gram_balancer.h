// The part that balancers of Gram matrices have in common: the tasks that take part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/balancing/balancer.h"
#include "core/balancing/balancer_state.h"

namespace polyhead {

// A step, for the n tasks that take part: those that are active and whose gradient is not 0. n >= 1.
struct GramProblem {
  std::int64_t step = 1;
  std::vector<std::size_t> tasks;  // [n] their numbers among all tasks, ascending
  SquareMatrix gram;               // [n, n] inner products of their gradients
  SquareMatrix cosine;             // [n, n] cosines of the angles between them
  std::vector<double> norm;        // [n] lengths of their gradients, above 0
  std::vector<double> preference;  // [n] task.NAME.weight, scaled so that they sum to 1
  std::vector<double> loss;        // [n] of this step; NaN: not known
};

// Gives weight 0 to tasks that do not take part, and equal weights, which sum to 1, to all active tasks if a number
// that is needed is not finite.
class GramBalancer : public Balancer {
 public:
  GramBalancer(std::string_view method, std::size_t tasks) : state_(method, tasks) {}

  Reads reads() const override { return Reads::gram; }
  std::vector<double> weights(const BalanceInput& input) final;
  std::string state() const final { return state_.text(); }
  void restore(const std::string& state) final { state_.restore(state); }

 protected:
  // Returns [n]. Changes the state only if it returns finite weights.
  virtual std::vector<double> solve(const GramProblem& problem) = 0;
  // Whether solve() reads losses: then it is only called if they are finite.
  virtual bool needs_losses() const { return false; }

  BalancerState state_;  // rows for all tasks
};

using GramFormula = std::function<std::vector<double>(const GramProblem&)>;

// A balancer without a state.
std::unique_ptr<Balancer> make_gram_balancer(std::string_view method, std::size_t tasks, GramFormula formula,
                                             bool needs_losses = false);

// Returns 1 / n for each active task, 0 for the others; n: the number of active tasks.
std::vector<double> equal_weights(const std::vector<bool>& active);

}  // namespace polyhead
