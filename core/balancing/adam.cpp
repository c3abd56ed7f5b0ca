#include "core/balancing/adam.h"

#include <algorithm>
#include <cmath>

namespace polyhead {

TaskAdam::TaskAdam(BalancerState& state, const std::string& name, double learning_rate, double weight_decay)
    : learning_rate_(learning_rate),
      weight_decay_(weight_decay),
      values_(state.add(name, state.tasks())),
      first_(state.add(name + "_first_moment", state.tasks())),
      second_(state.add(name + "_second_moment", state.tasks())),
      count_(state.add(name + "_updates", state.tasks())) {}

void TaskAdam::update(std::size_t task, double gradient) {
  constexpr double kFirst = 0.9, kSecond = 0.999, kEpsilon = 1e-8, kLimit = 1e6;
  gradient = std::clamp(gradient + weight_decay_ * values_[task], -kLimit, kLimit);
  const double count = count_[task] += 1;
  first_[task] += (1 - kFirst) * (gradient - first_[task]);
  second_[task] += (1 - kSecond) * (gradient * gradient - second_[task]);
  const double mean = first_[task] / (1 - std::pow(kFirst, count));
  const double square = second_[task] / (1 - std::pow(kSecond, count));
  values_[task] -= learning_rate_ * mean / (std::sqrt(square) + kEpsilon);
}

}  // namespace polyhead
