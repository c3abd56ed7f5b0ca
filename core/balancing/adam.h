// Adam for the few numbers that some balancers learn.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/balancing/balancer_state.h"

namespace polyhead {

// One number a task, each with a count of updates of its own, since tasks join at different steps. The defaults are
// those of the paper (Kingma and Ba, 2015): decays 0.9 and 0.999, epsilon 1e-8.
class TaskAdam {
 public:
  // Adds rows to the state, which outlives this object: the numbers (name), their moments and counts.
  TaskAdam(BalancerState& state, const std::string& name, double learning_rate, double weight_decay = 0);

  const std::vector<double>& values() const { return values_; }  // [tasks]
  // Takes a step against the gradient, which is limited to +-1e6; weight_decay times the number is added to it.
  void update(std::size_t task, double gradient);

 private:
  double learning_rate_, weight_decay_;
  std::vector<double>&values_, &first_, &second_, &count_;
};

}  // namespace polyhead
