// Gradient descent on the problem with the weights of a balancer.
#pragma once

#include <cstdint>
#include <vector>

#include "core/balancing/balancer.h"
#include "problem.h"

namespace toy {

struct Descent {
  Problem problem;
  polyhead::BalancerOptions balancer;
  std::vector<double> offset = {0, 0};  // [tasks], added to the losses that the balancer sees
  std::int64_t steps = 0;
  Vector start;
};

struct Path {
  Vector end;
  std::vector<Vector> points;  // the start, then the point after every kThinned steps, then the end
  static constexpr std::int64_t kThinned = 100;
};

// Adam with a learning rate of 1e-3 on the weighted sum of the gradients. The balancer reads the losses and gradients
// of the step itself. Throws Error(diverged) if a weight or a point is not finite, and what the balancer throws.
Path descend(const Descent& descent);

}  // namespace toy
