// The counter-based generator: known values, uniformity, independence of neighbouring keys and counters.
#include "core/base/counter_random.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>
#include <vector>

namespace polyhead {
namespace {

double chi_square(const std::vector<int>& counts, double draws) {
  const double expected = draws / static_cast<double>(counts.size());
  double sum = 0;
  for (const int count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

// About five standard deviations above the mean of chi-square.
double limit(double freedom) {
  return freedom + 5 * std::sqrt(2 * freedom);
}

TEST(CounterRandom, MixerGivesSplitmix64) {
  // The first two outputs of splitmix64 with seed 0: the state advances by the golden gamma before each.
  EXPECT_EQ(mix64(0), 0xe220a8397b1dcdafULL);
  EXPECT_EQ(mix64(0x9e3779b97f4a7c15ULL), 0x6e789e6aa1b965f4ULL);
}

TEST(CounterRandom, IsAConstantExpression) {
  static_assert(draw(1, 2) == draw(1, 2));
  static_assert(draw(1, 2) != draw(2, 1));
  static_assert(bounded(~0ULL, 10) == 9 && bounded(0, 10) == 0);
  static_assert(unit(0) == 0 && unit(~0ULL) < 1);
  EXPECT_EQ(draw(7, 9), derive(7, 9));
}

TEST(CounterRandom, UniformOverCountersAndOverKeys) {
  constexpr int kDraws = 200000, kBins = 100;
  std::vector<int> counters(kBins), keys(kBins), units(kBins);
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    ++counters[bounded(draw(42, i), kBins)];
    ++keys[bounded(draw(i, 42), kBins)];
    ++units[static_cast<std::size_t>(unit(draw(43, i)) * kBins)];
  }
  EXPECT_LT(chi_square(counters, kDraws), limit(kBins - 1));
  EXPECT_LT(chi_square(keys, kDraws), limit(kBins - 1));
  EXPECT_LT(chi_square(units, kDraws), limit(kBins - 1));
}

TEST(CounterRandom, NeighboursAreIndependent) {
  constexpr int kDraws = 200000, kBins = 16;
  std::vector<int> pairs(kBins * kBins), across(kBins * kBins);
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    ++pairs[bounded(draw(5, i), kBins) * kBins + bounded(draw(5, i + 1), kBins)];
    ++across[bounded(draw(i, 5), kBins) * kBins + bounded(draw(i + 1, 5), kBins)];
  }
  EXPECT_LT(chi_square(pairs, kDraws), limit(kBins * kBins - 1));
  EXPECT_LT(chi_square(across, kDraws), limit(kBins * kBins - 1));
}

TEST(CounterRandom, OneFlippedBitChangesHalfOfTheBits) {
  for (int bit = 0; bit < 64; ++bit) {
    double by_key = 0, by_counter = 0;
    for (std::uint64_t i = 0; i < 500; ++i) {
      by_key += std::popcount(draw(i, 3) ^ draw(i ^ 1ULL << bit, 3));
      by_counter += std::popcount(draw(3, i) ^ draw(3, i ^ 1ULL << bit));
    }
    // The mean of 500 draws of a binomial of 64 halves has a standard deviation of 0.18.
    EXPECT_NEAR(by_key / 500, 32, 1) << "bit " << bit;
    EXPECT_NEAR(by_counter / 500, 32, 1) << "bit " << bit;
  }
}

TEST(CounterRandom, KeysOfSmallNumbersDoNotCollide) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t a = 0; a < 300; ++a)
    for (std::uint64_t b = 0; b < 300; ++b) seen.insert(derive(a, b));
  EXPECT_EQ(seen.size(), 90000U);
}

TEST(CounterRandom, BoundedReachesEveryValueOnly) {
  for (const std::uint32_t n : {1U, 2U, 3U, 7U, 100U}) {
    std::vector<int> counts(n);
    for (std::uint64_t i = 0; i < 5000; ++i) ++counts.at(bounded(draw(n, i), n));
    for (const int count : counts) EXPECT_GT(count, 0) << n;
  }
  EXPECT_LT(bounded(~0ULL, 0xFFFFFFFFU), 0xFFFFFFFFU);
}

}  // namespace
}  // namespace polyhead
