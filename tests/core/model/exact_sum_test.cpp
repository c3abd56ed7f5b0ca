// Sums of gradients in any order, against long doubles, and values that cannot be added.
#include "core/model/exact_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/base/counter_random.h"
#include "core/base/grid.h"
#include "tests/core/expect_error.h"

namespace polyhead {
namespace {

constexpr std::int64_t kElements = 1000, kTerms = 37;

// Of magnitudes from 1e-9 to 10, both signs; long stretches of zeros.
torch::Tensor term(std::uint64_t number, torch::ScalarType type) {
  torch::Tensor values = torch::zeros({kElements}, torch::kFloat64);
  for (std::int64_t i = 0; i < kElements; ++i) {
    const auto at = static_cast<std::uint64_t>(i);
    if ((at / 100 + number) % 3 == 0) continue;
    const double magnitude = std::pow(10, -9 + 10 * unit(draw(number, 2 * at)));
    values[i] = unit(draw(number, 2 * at + 1)) < 0.5 ? magnitude : -magnitude;
  }
  return values.to(type);
}

class ExactSums : public testing::TestWithParam<torch::ScalarType> {};

TEST_P(ExactSums, DoNotDependOnTheOrderAndAreClose) {
  std::vector<std::uint64_t> order(kTerms);
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  std::vector<long double> expected(kElements, 0);
  for (const std::uint64_t number : order) {
    const torch::Tensor values = term(number, GetParam()).to(torch::kFloat64);
    for (std::int64_t i = 0; i < kElements; ++i)
      expected[static_cast<std::size_t>(i)] += static_cast<long double>(values.data_ptr<double>()[i]);
  }
  torch::Tensor first;
  for (int round = 0; round < 5; ++round) {
    // Of two workers, in another order each time.
    ExactSum one(kElements), two(kElements);
    one.begin(kTerms), two.begin(kTerms);
    for (std::size_t n = 0; n < order.size(); ++n) {
      torch::Tensor values = term(order[n], GetParam());
      EXPECT_TRUE((n % 5 < 2 ? one : two).accumulate(values));
      EXPECT_TRUE(values.eq(0).all().item<bool>());
    }
    for (std::int64_t i = 0; i < kElements; ++i) one.data()[i] += two.data()[i];
    const torch::Tensor sum = torch::empty({kElements}, torch::TensorOptions(GetParam()));
    one.write_to(sum);
    if (first.defined())
      EXPECT_TRUE(torch::equal(first, sum));
    else
      first = sum;
    std::next_permutation(order.begin(), order.end());
    std::rotate(order.begin(), order.begin() + 11, order.end());
  }
  // Half a unit a term; then the rounding to the type.
  const double unit = kTerms * std::ldexp(1, -44) / 2;
  const double relative = GetParam() == torch::kFloat32 ? std::ldexp(1, -24) : std::ldexp(1, -53);
  const torch::Tensor found = first.to(torch::kFloat64);
  for (std::int64_t i = 0; i < kElements; ++i) {
    const auto wanted = static_cast<double>(expected[static_cast<std::size_t>(i)]);
    EXPECT_NEAR(found.data_ptr<double>()[i], wanted, unit + relative * std::abs(wanted)) << i;
  }
}

TEST_P(ExactSums, RefuseWhatTheyCannotHold) {
  for (const double bad : {4096.0, -4096.0, 1e30, std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    ExactSum sum(kElements);
    sum.begin(3);
    torch::Tensor values = term(1, GetParam());
    values[kElements - 1] = bad;
    EXPECT_FALSE(sum.accumulate(values)) << bad;
    EXPECT_TRUE(values.eq(0).all().item<bool>());
    sum.begin(3);
    EXPECT_TRUE(sum.accumulate(term(1, GetParam()))) << "the next step is a new one";
  }
  // As many of the largest as were announced.
  ExactSum sum(1);
  sum.begin(1000);
  const torch::Tensor most = torch::full({1}, 4095.0, torch::TensorOptions(GetParam())), result = most.clone();
  for (int n = 0; n < 1000; ++n) EXPECT_TRUE(sum.accumulate(most.clone()));
  sum.write_to(result);
  EXPECT_EQ(result.item<double>(), 4095.0 * 1000);
}

INSTANTIATE_TEST_SUITE_P(Types, ExactSums, testing::Values(torch::kFloat32, torch::kFloat64));

TEST(ExactSum, MicroBatchesBeyondMeasureAreAnError) {
  ExactSum sum(1);
  sum.begin(ExactSum::kMostTerms);
  expect_error([&] { sum.begin(ExactSum::kMostTerms + 1); }, Exit::config,
               {"1048577 micro-batches", "run.micro_batch"});
}

TEST(Grid, SumsDoNotDependOnTheOrder) {
  std::vector<double> values;
  for (std::uint64_t i = 0; i < 10'000; ++i) values.push_back(on_grid(700 * unit(draw(5, i))));
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  std::ranges::sort(values);
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0.0), sum);
  EXPECT_NEAR(on_grid(0.1), 0.1, 0.5 / (1 << 30));
  EXPECT_TRUE(std::isnan(on_grid(std::numeric_limits<double>::quiet_NaN())));
  EXPECT_TRUE(std::isinf(on_grid(std::numeric_limits<double>::infinity())));
}

}  // namespace
}  // namespace polyhead
