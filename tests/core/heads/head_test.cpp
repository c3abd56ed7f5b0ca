// The cross-entropy whose output layer is the token table, against plain LibTorch.
#include "core/heads/head.h"

#include <gtest/gtest.h>

#include "tests/core/finite_differences.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using torch::Tensor;

TEST(TiedCrossEntropy, EqualsLibTorchLossAndGradients) {
  for (const double smoothing : {0.0, 0.1, 0.6}) {
    std::vector<std::vector<Tensor>> found;
    for (const bool tied : {true, false}) {
      const Tensor hidden = (random_tensor({9, 6}, 1) * 3).requires_grad_(),
                   table = (random_tensor({17, 6}, 2) * 2).requires_grad_(),
                   bias = random_tensor({17}, 3).requires_grad_();
      const Tensor targets = torch::tensor({0, 16, 3, 3, 5, 9, 1, 0, 8}, torch::kInt64);
      const Tensor loss = tied ? tied_cross_entropy(hidden, table, bias, targets, smoothing)
                               : at::cross_entropy_loss(at::linear(hidden, table, bias), targets, {},
                                                        at::Reduction::None, -100, smoothing);
      (loss * random_tensor({9}, 4)).sum().backward();
      found.push_back({loss.detach(), hidden.grad(), table.grad(), bias.grad()});
    }
    for (std::size_t i = 0; i < 4; ++i)
      EXPECT_LT(relative_difference(found[0][i], found[1][i]), 1e-12) << "tensor " << i << ", smoothing " << smoothing;
  }
}

TEST(TiedCrossEntropy, LargeLogitsDoNotOverflow) {
  const Tensor hidden = torch::full({1, 1}, 1000, torch::kFloat32).requires_grad_();
  const Tensor table = torch::tensor({{1.0F}, {-1.0F}}), bias = torch::zeros({2});
  const Tensor loss = tied_cross_entropy(hidden, table, bias, torch::tensor({1}, torch::kInt64), 0);
  EXPECT_NEAR(loss.item<double>(), 2000, 1e-2);
  loss.sum().backward();
  EXPECT_NEAR(hidden.grad().item<double>(), 2, 1e-6);
}

TEST(TiedCrossEntropy, NoRowsGiveNoGradient) {
  const Tensor hidden = torch::zeros({0, 6}, torch::kFloat64).requires_grad_(),
               table = random_tensor({17, 6}, 2).requires_grad_();
  tied_cross_entropy(hidden, table, random_tensor({17}, 3), torch::zeros({0}, torch::kInt64), 0).sum().backward();
  EXPECT_EQ(table.grad().abs().max().item<double>(), 0);
}

TEST(TiedCrossEntropy, GradientsEqualFiniteDifferences) {
  const Tensor x = random_tensor({9, 8}, 1).requires_grad_(), table = random_tensor({17, 8}, 3).requires_grad_(),
               bias = random_tensor({17}, 4).requires_grad_(), direction = random_tensor({9}, 5);
  const Tensor targets = torch::tensor({0, 16, 3, 3, 5, 9, 1, 0, 8}, torch::kInt64);
  for (const double smoothing : {0.0, 0.1})
    expect_finite_differences(
        [&] { return (tied_cross_entropy(x, table, bias, targets, smoothing) * direction).sum(); }, {x, table, bias},
        1e-6);
}

}  // namespace
}  // namespace polyhead
