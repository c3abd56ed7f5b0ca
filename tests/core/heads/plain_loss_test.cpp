// Sums of the loss without label smoothing.
#include "core/heads/plain_loss.h"

#include <gtest/gtest.h>

namespace polyhead {
namespace {

TEST(PlainLossTest, ReportsAddUpUntilTheyAreTaken) {
  EXPECT_FALSE(PlainLoss::wanted());
  PlainLoss::report(torch::tensor(8.0));  // nobody wants it
  PlainLoss loss;
  EXPECT_TRUE(PlainLoss::wanted());
  EXPECT_FALSE(loss.take().defined());
  const torch::Tensor first = torch::tensor(1.5, torch::requires_grad());
  PlainLoss::report(first);
  PlainLoss::report(torch::tensor(2.0));
  const torch::Tensor sum = loss.take();
  EXPECT_EQ(sum.item<double>(), 3.5);
  EXPECT_FALSE(sum.requires_grad());
  EXPECT_EQ(first.item<double>(), 1.5);
  EXPECT_FALSE(loss.take().defined());
}

}  // namespace
}  // namespace polyhead
