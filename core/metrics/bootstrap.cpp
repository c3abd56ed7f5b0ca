// The percentile bootstrap (Efron, 1979) of a ratio of sums, and its paired form for two systems.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

// Interpolates linearly between the two nearest ranks, as numpy does by default.
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
  return interval_of(std::move(ratios));
}

Interval interval_of(std::vector<double> draws) {
  std::erase_if(draws, [](double value) { return std::isnan(value); });
  if (draws.empty()) return {};
  std::sort(draws.begin(), draws.end());
  return {percentile(draws, 0.025), percentile(draws, 0.975)};
}

std::vector<PairedDraw> paired_bootstrap(std::span<const std::vector<double>> first,
                                         std::span<const std::vector<double>> second, int draws, std::uint64_t seed) {
  const std::size_t seeds = first.size(), numbers = seeds == 0 ? 0 : first[0].size(), samples = numbers / 2;
  const auto fits = [&](const std::vector<double>& rows) { return rows.size() == numbers; };
  if (seeds == 0 || second.size() != seeds || samples == 0 || numbers % 2 != 0 || samples > 0xFFFFFFFFULL ||
      draws < 1 || !std::ranges::all_of(first, fits) || !std::ranges::all_of(second, fits))
    throw Error(Exit::internal, fmt::format("paired_bootstrap: {} and {} seeds, {} numbers in rows of two, {} draws",
                                            seeds, second.size(), numbers, draws));
  // The summands of a sample are stored together: [samples, systems, seeds, 2].
  const std::size_t width = 4 * seeds;
  std::vector<double> table(samples * width);
  for (std::size_t i = 0; i < samples; ++i)
    for (std::size_t s = 0; s < seeds; ++s)
      for (std::size_t k = 0; k < 2; ++k) {
        table[i * width + 2 * s + k] = first[s][2 * i + k];
        table[i * width + 2 * (seeds + s) + k] = second[s][2 * i + k];
      }
  std::vector<PairedDraw> result(static_cast<std::size_t>(draws));
  std::vector<double> sums(width);
  for (std::size_t d = 0; d < result.size(); ++d) {
    const std::uint64_t key = derive(seed, d), seed_key = derive(key, 1);
    std::ranges::fill(sums, 0.0);
    for (std::size_t i = 0; i < samples; ++i) {
      const double* row = table.data() + width * bounded(draw(key, i), static_cast<std::uint32_t>(samples));
      for (std::size_t k = 0; k < width; ++k) sums[k] += row[k];
    }
    const auto ratio = [&](std::size_t column) {
      const double denominator = sums[2 * column + 1];
      return denominator == 0 ? std::nan("") : sums[2 * column] / denominator;
    };
    for (std::size_t j = 0; j < seeds; ++j) {
      const std::size_t s = bounded(draw(seed_key, j), static_cast<std::uint32_t>(seeds));
      result[d].first += ratio(s) / static_cast<double>(seeds);
      result[d].second += ratio(seeds + s) / static_cast<double>(seeds);
    }
  }
  return result;
}

}  // namespace polyhead
