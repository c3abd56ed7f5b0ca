// Pearson's and Spearman's correlation.
#include "core/metrics/correlation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/counter_random.h"
#include "core/base/error.h"

namespace polyhead {
namespace {

double mean(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

// Returns ranks from 1; equal values share the mean of their ranks.
std::vector<double> ranks(std::span<const double> x) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return x[i]; });
  std::vector<double> ranks(x.size());
  for (std::size_t begin = 0, end = 0; begin < x.size(); begin = end) {
    while (end < x.size() && x[order[end]] == x[order[begin]]) ++end;
    for (std::size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + end + 1) / 2;
  }
  return ranks;
}

}  // namespace

double pearson(std::span<const double> x, std::span<const double> y) {
  const auto constant = [](std::span<const double> z) {
    return std::ranges::all_of(z, [&](double value) { return value == z[0]; });
  };
  if (x.size() < 2 || constant(x) || constant(y)) return std::numeric_limits<double>::quiet_NaN();
  const double mean_x = mean(x), mean_y = mean(y);
  double both = 0, square_x = 0, square_y = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    both += (x[i] - mean_x) * (y[i] - mean_y);
    square_x += (x[i] - mean_x) * (x[i] - mean_x);
    square_y += (y[i] - mean_y) * (y[i] - mean_y);
  }
  return std::clamp(both / (std::sqrt(square_x) * std::sqrt(square_y)), -1.0, 1.0);
}

double spearman(std::span<const double> x, std::span<const double> y) {
  return pearson(ranks(x), ranks(y));
}

Interval spearman_interval(std::span<const double> x, std::span<const double> y, std::span<const std::size_t> cluster,
                           int draws, std::uint64_t seed) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (x.size() != y.size() || x.size() != cluster.size() || x.size() > 0xFFFFFFFFULL || draws < 1)
    throw Error(Exit::internal, fmt::format("spearman_interval: {} and {} values in {} clusters, {} draws", x.size(),
                                            y.size(), cluster.size(), draws));
  std::vector<std::vector<std::size_t>> members;
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    if (cluster[i] >= members.size()) members.resize(cluster[i] + 1);
    members[cluster[i]].push_back(i);
  }
  std::vector<double> correlations, drawn_x, drawn_y;
  for (int d = 0; d < draws && !members.empty(); ++d) {
    const std::uint64_t key = derive(seed, static_cast<std::uint64_t>(d));
    drawn_x.clear(), drawn_y.clear();
    for (std::size_t i = 0; i < members.size(); ++i)
      for (const std::size_t at : members[bounded(draw(key, i), static_cast<std::uint32_t>(members.size()))]) {
        drawn_x.push_back(x[at]);
        drawn_y.push_back(y[at]);
      }
    if (const double correlation = spearman(drawn_x, drawn_y); !std::isnan(correlation))
      correlations.push_back(correlation);
  }
  return correlations.empty() ? Interval{nan, nan} : interval_of(std::move(correlations));
}

}  // namespace polyhead
