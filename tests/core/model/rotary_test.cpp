// Rotary positions against their formula.
#include "core/model/rotary.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/model/segments.h"
#include "tests/core/finite_differences.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using torch::Tensor;

TEST(Rotate, EqualsTheFormulaAndItsGradient) {
  const std::int64_t tokens = 7, heads = 3, head = 8, half = head / 2;
  const Segments segments = Segments::from({0, 4, 5, 7}, torch::kCPU);
  const Rotary rotary = Rotary::at(segments.positions, head, torch::kFloat64);
  // A strided view, as of a joint projection.
  const Tensor wide = random_tensor({tokens, 2, heads, head}, 1).requires_grad_();
  const Tensor out = rotate(wide.select(1, 1), rotary);
  const Tensor direction = random_tensor({tokens, heads, head}, 2);
  (out * direction).sum().backward();
  const std::int64_t positions[] = {0, 1, 2, 3, 0, 0, 1};
  const Tensor in = wide.detach(), result = out.detach();
  const Tensor& gradient = wide.grad();
  const auto x = in.accessor<double, 4>();
  const auto y = result.accessor<double, 3>(), g = direction.accessor<double, 3>();
  const auto dx = gradient.accessor<double, 4>();
  for (std::int64_t i = 0; i < tokens; ++i)
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t c = 0; c < half; ++c) {
        const double angle = static_cast<double>(positions[i]) /
                             std::pow(10000.0, 2.0 * static_cast<double>(c) / static_cast<double>(head));
        const double co = std::cos(angle), si = std::sin(angle), a = x[i][1][h][c], b = x[i][1][h][c + half];
        EXPECT_NEAR(y[i][h][c], a * co - b * si, 1e-14);
        EXPECT_NEAR(y[i][h][c + half], b * co + a * si, 1e-14);
        EXPECT_NEAR(dx[i][1][h][c], g[i][h][c] * co + g[i][h][c + half] * si, 1e-14);
        EXPECT_NEAR(dx[i][1][h][c + half], g[i][h][c + half] * co - g[i][h][c] * si, 1e-14);
        EXPECT_EQ(dx[i][0][h][c], 0);
      }
}

TEST(Rotate, ScoresDependOnTheDistanceOnly) {
  const auto turned = [](std::int64_t position, std::uint64_t seed) {
    return rotate(random_tensor({1, 1, 8}, seed), Rotary::at(torch::tensor({position}), 8, torch::kFloat64));
  };
  const double near = (turned(3, 1) * turned(5, 2)).sum().item<double>(),
               far = (turned(40, 1) * turned(42, 2)).sum().item<double>();
  EXPECT_NEAR(near, far, 1e-13);
  EXPECT_GT(std::abs(near - (turned(3, 1) * turned(6, 2)).sum().item<double>()), 1e-3);
}

TEST(Rotate, GradientsEqualFiniteDifferences) {
  const Segments segments = Segments::from({0, 4, 5, 9}, torch::kCPU);
  const Tensor x = random_tensor({9, 8}, 1).requires_grad_(), direction = random_tensor({9, 8}, 5);
  const Rotary rotary = Rotary::at(segments.positions, 4, torch::kFloat64);
  expect_finite_differences(
      [&] {
        return (rotate(x.view({9, 2, 4}), rotary).reshape({9, 8}) * direction).sum();
      },
      {x}, 1e-6);
}

}  // namespace
}  // namespace polyhead
