// The keyed permutation: it is a bijection, close to uniform, and never changes between versions.
#include "datasets/sampling/permutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "datasets/sampling/sampling.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

TEST(Permutation, IsABijectionForEverySize) {
  std::vector<char> seen;
  std::vector<std::uint64_t> images;
  for (std::uint64_t n = 1; n <= 5000; ++n) {
    // Above the table's limit one epoch a size keeps the test short.
    for (std::uint64_t epoch = n % 2; epoch < 2; epoch += n <= 4096 ? 1 : 2) {
      const Permutation permutation(17, epoch, n);
      seen.assign(n, 0);
      images.resize(n);
      permutation.map(0, images);
      std::uint64_t found = 0;
      for (std::uint64_t i = 0; i < n; ++i) {
        const std::uint64_t value = images[i];
        ASSERT_LT(value, n);
        if (n % 50 == 0) {
          ASSERT_EQ(permutation.inverse(value), i);
        }
        found += seen[value] == 0;
        seen[value] = 1;
      }
      ASSERT_EQ(found, n) << "epoch " << epoch;
    }
  }
}

TEST(Permutation, IsABijectionOfLargeSizes) {
  for (const std::uint64_t n : {65535ULL, 65536ULL, 65537ULL, 117659ULL, 262145ULL}) {
    const Permutation permutation(3, 2, n);
    std::vector<std::uint64_t> images(n);
    permutation.map(0, images);
    std::vector<char> seen(n);
    for (std::uint64_t i = 0; i < n; ++i) {
      ASSERT_LT(images[i], n);
      ASSERT_EQ(seen[images[i]]++, 0) << n;
    }
  }
  // Too large to go through: distinct indices stay distinct, and the inverse leads back.
  for (const std::uint64_t n : {1ULL << 22, (1ULL << 22) + 1, 1ULL << 32, (1ULL << 32) + 1, 123456789012ULL, 1ULL << 40,
                                (1ULL << 40) + 1, 1ULL << 63, ~0ULL}) {
    const Permutation permutation(3, 2, n);
    std::set<std::uint64_t> values;
    for (std::uint64_t k = 0; k < 2000; ++k) {
      const std::uint64_t i = k % 2 == 0 ? k / 2 : n - 1 - k / 2, value = permutation(i);
      EXPECT_LT(value, n);
      EXPECT_EQ(permutation.inverse(value), i);
      EXPECT_EQ(permutation(permutation.inverse(i)), i);
      values.insert(value);
    }
    EXPECT_EQ(values.size(), 2000U);
  }
}

TEST(Permutation, EveryOrderOfASmallTaskIsEquallyLikely) {
  constexpr int kEpochs = 24000;
  std::map<std::vector<std::uint64_t>, int> counts;
  for (std::uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const Permutation permutation(11, epoch, 4);
    std::vector<std::uint64_t> order(4);
    for (std::uint64_t i = 0; i < 4; ++i) order[i] = permutation(i);
    ++counts[order];
  }
  ASSERT_EQ(counts.size(), 24U);
  double chi_square = 0;
  for (const auto& [order, count] : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000;
  EXPECT_LT(chi_square, 23 + 5 * std::sqrt(2 * 23.0));
}

TEST(Permutation, IsCloseToUniformAndNeighboursAreUnrelated) {
  constexpr std::uint64_t kBins = 50;
  for (const std::uint64_t n : {1000ULL, 4096ULL, 4097ULL, 10000ULL, 100003ULL}) {
    const std::uint64_t epochs = n <= 4096 ? 300 : 20;
    // Where samples of the first fiftieth of the indices land, over epochs; and how often the next index gives the next
    // sample.
    std::vector<double> landed(kBins);
    double draws = 0, successors = 0, pairs = 0;
    for (std::uint64_t epoch = 0; epoch < epochs; ++epoch) {
      std::vector<std::uint64_t> images(n);
      Permutation(23, epoch, n).map(0, images);
      std::uint64_t before = images[0];
      for (std::uint64_t i = 1; i < n; ++i) {
        const std::uint64_t value = images[i];
        if (i < n / kBins) {
          ++landed[value * kBins / n];
          ++draws;
        }
        successors += value == before + 1;
        ++pairs;
        before = value;
      }
    }
    double chi_square = 0;
    for (const double count : landed) chi_square += (count - draws / kBins) * (count - draws / kBins) / (draws / kBins);
    EXPECT_LT(chi_square, kBins - 1 + 5 * std::sqrt(2.0 * (kBins - 1))) << n;
    // One successor an epoch is expected, with a Poisson's spread.
    const double expected = pairs / static_cast<double>(n);
    EXPECT_NEAR(successors, expected, 5 * std::sqrt(expected)) << n;
  }
}

TEST(Permutation, DiffersByTaskSeedAndEpoch) {
  for (const std::uint64_t n : {1000ULL, 10000ULL}) {
    const auto order = [n](std::uint64_t key, std::uint64_t epoch) {
      std::vector<std::uint64_t> values(100);
      Permutation(key, epoch, n).map(0, values);
      return values;
    };
    const auto base = order(task_key(1, "a"), 0);
    EXPECT_EQ(base, order(task_key(1, "a"), 0));
    EXPECT_NE(base, order(task_key(1, "a"), 1));
    EXPECT_NE(base, order(task_key(2, "a"), 0));
    EXPECT_NE(base, order(task_key(1, "b"), 0));
  }
}

TEST(Permutation, MapsRangesAsItMapsEachIndex) {
  for (const std::uint64_t n : {1ULL, 1000ULL, 5000ULL, 66000ULL, (1ULL << 33) + 5}) {
    const Permutation permutation(7, 1, n);
    EXPECT_EQ(permutation.size(), n);
    for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{1}, n / 3, n - 1, n})
      for (const std::uint64_t count : {0ULL, 1ULL, 255ULL, 256ULL, 257ULL, 999ULL}) {
        if (first > n || count > n - first) continue;
        std::vector<std::uint64_t> images(count);
        permutation.map(first, images);
        for (std::uint64_t k = 0; k < count; ++k) ASSERT_EQ(images[k], permutation(first + k)) << n << ", " << first;
      }
  }
}

TEST(Permutation, RefusesAnIndexOutside) {
  expect_error(Exit::internal, {"permutation of 10: indices 10 to 11"}, [] { Permutation(1, 0, 10)(10); });
  expect_error(Exit::internal, {"permutation of 5000: indices 5001 to 5002"}, [] { Permutation(1, 0, 5000)(5001); });
  std::vector<std::uint64_t> four(4);
  expect_error(Exit::internal, {"indices 7 to 11"}, [&] { Permutation(1, 0, 10).map(7, four); });
  expect_error(Exit::internal, {"permutation of 10: what gives 10"}, [] { Permutation(1, 0, 10).inverse(10); });
  expect_error(Exit::internal, {"permutation of 0 samples"}, [] { Permutation(1, 0, 0); });
}

// A checkpoint is continued by later versions: these values must not change.
TEST(Permutation, KeepsItsValues) {
  EXPECT_EQ(task_key(1, "section"), 0x17eb58bf394ce1c4ULL);
  EXPECT_EQ(Permutation(task_key(1, "section"), 0, 100)(0), 1U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 0, 100)(1), 18U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 0, 100)(99), 97U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 3, 100)(0), 33U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 3, 100)(1), 61U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 3, 100)(99), 74U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 0, 10000)(0), 9824U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 0, 10000)(1), 6619U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 0, 10000)(99), 8990U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 3, 10000)(0), 6769U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 3, 10000)(1), 5740U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 3, 10000)(99), 581U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 0, 1000000)(0), 137085U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 0, 1000000)(1), 549708U);
  EXPECT_EQ(Permutation(task_key(1, "section"), 0, 1000000)(99), 185364U);
}

}  // namespace
}  // namespace polyhead
