// The buffers of balancers of norms, by hand.
#include "core/balancing/task_buffer.h"

#include <gtest/gtest.h>

namespace polyhead {
namespace {

TEST(TaskBuffer, AveragesGradientsOfLogLosses) {
  const torch::Tensor gradient = torch::tensor({4.0, -2.0}), buffer = torch::tensor({1.0, 1.0});
  const BufferedRow row = apply_buffer({TaskBuffer::Kind::log_average, 0.25}, gradient, buffer, 2);
  EXPECT_TRUE(row.buffer.equal(torch::tensor({1.25, 0.5})));
  EXPECT_TRUE(row.measured.equal(row.buffer));
  EXPECT_TRUE(row.summed.equal(row.buffer));
  EXPECT_TRUE(buffer.equal(torch::tensor({1.0, 1.0})));  // unchanged
}

TEST(TaskBuffer, ALossOf0DoesNotDivideBy0) {
  const BufferedRow row =
      apply_buffer({TaskBuffer::Kind::log_average, 1}, torch::tensor({0.0}), torch::tensor({0.0}), 0);
  EXPECT_EQ(row.buffer.item<double>(), 0);
}

TEST(TaskBuffer, SumsSquares) {
  const torch::Tensor gradient = torch::tensor({3.0, 0.0}, torch::kFloat64),
                      buffer = torch::tensor({7.0, 0.0}, torch::kFloat64);
  const BufferedRow row = apply_buffer({TaskBuffer::Kind::square_sum, 1}, gradient, buffer, 2);
  EXPECT_TRUE(row.buffer.equal(torch::tensor({16.0, 0.0}, torch::kFloat64)));
  EXPECT_TRUE(row.measured.equal(torch::tensor({1.5, 0.0}, torch::kFloat64)));  // its norm is 9 / sqrt(16)
  EXPECT_TRUE(row.summed.equal(gradient));
}

}  // namespace
}  // namespace polyhead
