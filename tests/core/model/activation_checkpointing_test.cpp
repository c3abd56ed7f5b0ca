// Gradients through a function that backward calls again. (gradients_test.cpp compares the bits of whole models.)
#include "core/model/activation_checkpointing.h"

#include <gtest/gtest.h>

#include "tests/core/finite_differences.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using torch::Tensor;

TEST(ActivationCheckpointing, GradientsEqualFiniteDifferences) {
  const Tensor x = random_tensor({9, 8}, 1).requires_grad_(), other = random_tensor({9, 8}, 2).requires_grad_(),
               direction = random_tensor({9, 8}, 5);
  const auto product = [&](const Tensor& states) { return states.sin().tanh() * other; };
  expect_finite_differences([&] { return (checkpointed(product, x) * direction).sum(); }, {x, other}, 1e-6);
}

}  // namespace
}  // namespace polyhead
