// Compares gradients with central differences.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "tests/core/small_model.h"

namespace polyhead {

// Compares the gradients of the leaves with central differences of the loss along a random direction of each.
inline void expect_finite_differences(const std::function<torch::Tensor()>& loss,
                                      const std::vector<torch::Tensor>& leaves, double tolerance) {
  for (const torch::Tensor& leaf : leaves) leaf.mutable_grad() = torch::Tensor();
  loss().backward();
  const torch::NoGradGuard guard;
  const double h = 1e-5;
  for (std::size_t n = 0; n < leaves.size(); ++n) {
    const torch::Tensor step = random_tensor(leaves[n].sizes().vec(), 100 + n) * h;
    leaves[n].add_(step);
    const double above = loss().item<double>();
    leaves[n].sub_(2 * step);
    const double below = loss().item<double>();
    leaves[n].add_(step);
    const double expected = 2 * (leaves[n].grad() * step).sum().item<double>();
    EXPECT_NEAR(above - below, expected, tolerance * std::abs(expected) + 1e-13) << "leaf " << n;
  }
}

}  // namespace polyhead
