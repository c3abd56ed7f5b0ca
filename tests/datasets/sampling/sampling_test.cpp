// Streams of samples, and their division among a group's workers.
#include "datasets/sampling/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/counter_random.h"

namespace polyhead {
namespace {

using Numbers = std::vector<std::uint64_t>;

Numbers read(SampleStream& stream, std::uint64_t first, std::size_t count) {
  Numbers samples(count);
  stream.read(first, samples);
  return samples;
}

TEST(Stream, EverySampleOnceAnEpoch) {
  for (const std::uint64_t n : {1ULL, 77ULL, 5000ULL}) {
    SampleStream stream(task_key(1, "a"), n);
    for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
      const Numbers samples = read(stream, epoch * n, n);
      const std::set<std::uint64_t> distinct(samples.begin(), samples.end());
      EXPECT_EQ(distinct.size(), n);
      EXPECT_EQ(*distinct.rbegin(), n - 1);
    }
  }
}

TEST(Stream, IsTheSameInWhateverPiecesItIsRead) {
  for (const std::uint64_t n : {3ULL, 77ULL, 5000ULL}) {
    SampleStream whole(9, n), pieces(9, n);
    const Numbers expected = read(whole, 0, 3 * n + 2);  // over the ends of epochs
    Numbers found;
    for (std::size_t size = 1; found.size() < expected.size(); ++size) {
      const Numbers more = read(pieces, found.size(), std::min(size, expected.size() - found.size()));
      found.insert(found.end(), more.begin(), more.end());
    }
    EXPECT_EQ(found, expected);
    EXPECT_EQ(read(pieces, 1, n), Numbers(expected.begin() + 1, expected.begin() + 1 + static_cast<std::ptrdiff_t>(n)))
        << "an earlier epoch again";
    EXPECT_NE(Numbers(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(n)),
              Numbers(expected.begin() + static_cast<std::ptrdiff_t>(n),
                      expected.begin() + 2 * static_cast<std::ptrdiff_t>(n)))
        << "epochs differ";
    const Permutation second(9, 1, n);
    for (std::uint64_t i = 0; i < n; ++i) EXPECT_EQ(expected[n + i], second(i));
  }
}

// The largest part's tokens over the smallest's.
double spread(const Numbers& lengths, const std::vector<std::size_t>& part, std::size_t parts) {
  std::vector<double> tokens(parts, 0);
  for (std::size_t i = 0; i < lengths.size(); ++i) tokens[part[i]] += static_cast<double>(lengths[i]);
  return *std::ranges::max_element(tokens) / *std::ranges::min_element(tokens);
}

TEST(Split, TokensAreAboutEqualOnSkewedLengths) {
  for (const std::size_t parts : {2U, 3U, 4U, 8U}) {
    double split = 0, every_nth = 0;
    constexpr int kSteps = 200;
    for (std::uint64_t step = 0; step < kSteps; ++step) {
      Numbers lengths;  // log-normal: a few sequences are many times as long as most
      std::vector<std::size_t> every;
      for (std::uint64_t i = 0; i < 64; ++i) {
        double normal = -6;
        for (std::uint64_t k = 0; k < 12; ++k) normal += unit(draw(derive(step, i), k));
        lengths.push_back(2 + static_cast<std::uint64_t>(std::exp(3 + normal)));
        every.push_back(i % parts);
      }
      split += spread(lengths, split_by_length(lengths, parts), parts) / kSteps;
      every_nth += spread(lengths, every, parts) / kSteps;
    }
    RecordProperty("spread of " + std::to_string(parts),
                   std::to_string(split) + " against " + std::to_string(every_nth));
    EXPECT_LT(split - 1, 0.05 * (every_nth - 1)) << parts << ": " << split << " against " << every_nth;
  }
}

TEST(Split, LongestFirst) {
  EXPECT_EQ(split_by_length(Numbers{1, 9, 3, 5, 4}, 2), (std::vector<std::size_t>{1, 0, 0, 1, 1}));
  EXPECT_EQ(split_by_length(Numbers{4, 4, 4, 4, 4}, 3), (std::vector<std::size_t>{0, 1, 2, 0, 1}))
      << "equal lengths take turns";
  EXPECT_EQ(split_by_length(Numbers{0, 0, 0}, 2), (std::vector<std::size_t>{0, 1, 0}))
      << "so do samples without tokens";
  EXPECT_EQ(split_by_length(Numbers{7, 2}, 1), (std::vector<std::size_t>{0, 0}));
  EXPECT_EQ(split_by_length(Numbers{7}, 3), (std::vector<std::size_t>{0}));
  EXPECT_TRUE(split_by_length(Numbers{}, 3).empty());
}

}  // namespace
}  // namespace polyhead
