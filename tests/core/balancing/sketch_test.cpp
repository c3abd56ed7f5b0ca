// Inner products of sketches, against those of the vectors.
#include "core/balancing/sketch.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/balancing/gram.h"

namespace polyhead {
namespace {

TEST(Sketch, CosinesAreRightWithinTheStatedError) {
  constexpr std::int64_t kElements = 300'007, kSize = 4096;
  const Sketch sketch(kElements, kSize, torch::kCPU);
  double squares = 0;
  int pairs = 0;
  for (int round = 0; round < 20; ++round) {
    torch::manual_seed(round);
    const torch::Tensor a = torch::randn({kElements}), b = 0.3 * a + torch::randn({kElements});
    std::vector<double> sums(2 * kSize, 0);
    sketch.add(a, 1, std::span(sums).first(kSize));
    sketch.add(b.to(torch::kFloat64), 1, std::span(sums).last(kSize));
    SquareMatrix gram(2);
    const auto row = [&](std::int64_t first) {
      return GradientRow{torch::from_blob(sums.data() + first, {kSize}, torch::kFloat64)};
    };
    add_inner_products({row(0), row(kSize)}, false, gram);
    const double found = gram(0, 1) / std::sqrt(gram(0, 0) * gram(1, 1));
    const double right = (a.dot(b) / (a.norm() * b.norm())).item<double>();
    squares += (found - right) * (found - right);
    ++pairs;
  }
  const double deviation = std::sqrt(squares / pairs);
  EXPECT_LT(deviation, 1.5 / std::sqrt(kSize));
  EXPECT_GT(deviation, 0.1 / std::sqrt(kSize));  // it is a sketch
}

TEST(Sketch, IsLinear) {
  const Sketch sketch(1000, 128, torch::kCPU);
  const torch::Tensor a = torch::randn({1000}, torch::kFloat64), b = torch::randn({1000}, torch::kFloat64);
  std::vector<double> apart(128, 0), together(128, 0);
  sketch.add(a, 2, apart);
  sketch.add(b, -1, apart);
  sketch.add(2 * a - b, 1, together);
  for (std::size_t i = 0; i < 128; ++i) EXPECT_NEAR(apart[i], together[i], 1e-12);
  EXPECT_EQ(sketch_size(64), 64);
  EXPECT_EQ(sketch_size(65), 128);
}

}  // namespace
}  // namespace polyhead
