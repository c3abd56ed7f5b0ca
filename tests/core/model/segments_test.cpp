// Segments, and sums and softmax within them, against plain LibTorch.
#include "core/model/segments.h"

#include <gtest/gtest.h>

#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using torch::Tensor;

TEST(Segments, LengthsPositionsAndSums) {
  const Segments segments = Segments::from({0, 3, 3, 4, 8}, torch::kCPU);
  EXPECT_EQ(segments.sequences(), 4);
  EXPECT_EQ(segments.tokens(), 8);
  EXPECT_TRUE(segments.lengths.equal(torch::tensor({3, 0, 1, 4}, torch::kInt64)));
  EXPECT_TRUE(segments.positions.equal(torch::tensor({0, 1, 2, 0, 0, 1, 2, 3}, torch::kInt64)));
  const Tensor x = random_tensor({8, 5}, 1).requires_grad_(), direction = random_tensor({4, 5}, 2);
  const Tensor sums = segment_sum(x, segments);
  (sums * direction).sum().backward();
  for (std::int64_t s = 0; s < 4; ++s) {
    const auto begin = segments.offsets[static_cast<std::size_t>(s)],
               end = segments.offsets[static_cast<std::size_t>(s) + 1];
    EXPECT_TRUE(sums[s].allclose(x.slice(0, begin, end).sum(0), 1e-14, 1e-14));
    for (auto row = begin; row < end; ++row) EXPECT_TRUE(x.grad()[row].equal(direction[s]));
  }
}

TEST(Segments, SoftmaxOverTheRowsOfEachEqualsLibTorch) {
  const Segments segments = Segments::from({0, 3, 3, 4, 8}, torch::kCPU);
  EXPECT_TRUE(segments.sequence_of_rows().equal(torch::tensor({0, 0, 0, 2, 3, 3, 3, 3}, torch::kInt64)));
  const Tensor x = (random_tensor({8, 5}, 1) * 300).requires_grad_(), direction = random_tensor({8, 5}, 2);
  const Tensor plain = x.detach().clone().requires_grad_();
  const Tensor found = segment_softmax(x / 100, segments), large = segment_softmax(x.detach() * 100, segments);
  const Tensor expected = torch::cat({at::softmax(plain.slice(0, 0, 3) / 100, 0), at::softmax(plain.slice(0, 3, 4), 0),
                                      at::softmax(plain.slice(0, 4, 8) / 100, 0)});
  EXPECT_LT(relative_difference(found, expected), 1e-14);
  EXPECT_TRUE(large.isfinite().all().item<bool>());
  (found * direction).sum().backward();
  (expected * direction).sum().backward();
  EXPECT_LT(relative_difference(x.grad(), plain.grad()), 1e-13);

  // The hand-written backward by finite differences.
  const torch::NoGradGuard guard;
  const double h = 1e-4;
  const Tensor step = random_tensor({8, 5}, 3) * h;
  const auto loss = [&](const Tensor& at) {
    return (segment_softmax(at / 100, segments) * direction).sum().item<double>();
  };
  EXPECT_NEAR(loss(x + step) - loss(x - step), 2 * (x.grad() * step).sum().item<double>(), 1e-12);
}

}  // namespace
}  // namespace polyhead
