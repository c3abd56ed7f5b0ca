// The percentile bootstrap (Efron, 1979) of a ratio of sums.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

// Linear between the two nearest ranks, as numpy's default.
double percentile(const std::vector<double>& sorted, double share) {
  const double rank = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - std::floor(rank)) * (sorted[above] - sorted[below]);
}

}  // namespace

Interval bootstrap_interval(std::span<const double> rows, int draws, std::uint64_t seed, bool exponential) {
  const std::size_t samples = rows.size() / 2;
  if (rows.size() % 2 != 0 || samples > 0xFFFFFFFFULL || draws < 1)
    throw Error(Exit::internal,
                fmt::format("bootstrap_interval: {} numbers in rows of two, {} draws", rows.size(), draws));
  std::vector<double> ratios;
  for (int d = 0; samples > 0 && d < draws; ++d) {
    const std::uint64_t key = derive(seed, static_cast<std::uint64_t>(d));
    double numerator = 0, denominator = 0;
    for (std::size_t i = 0; i < samples; ++i) {
      const std::size_t row = bounded(draw(key, i), static_cast<std::uint32_t>(samples));
      numerator += rows[2 * row];
      denominator += rows[2 * row + 1];
    }
    if (denominator == 0) continue;
    const double ratio = numerator / denominator;
    ratios.push_back(exponential ? std::exp(ratio) : ratio);
  }
  if (ratios.empty()) return {};
  std::sort(ratios.begin(), ratios.end());
  return {percentile(ratios, 0.025), percentile(ratios, 0.975)};
}

}  // namespace polyhead
