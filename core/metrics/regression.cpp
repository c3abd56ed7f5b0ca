// Errors and correlations of predicted numbers.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

double mean(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

double pearson(const std::vector<double>& x, const std::vector<double>& y) {
  const auto constant = [](const std::vector<double>& z) {
    return std::ranges::all_of(z, [&](double value) { return value == z[0]; });
  };
  if (x.size() < 2 || constant(x) || constant(y)) return 0;
  const double mean_x = mean(x), mean_y = mean(y);
  double both = 0, square_x = 0, square_y = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    both += (x[i] - mean_x) * (y[i] - mean_y);
    square_x += (x[i] - mean_x) * (x[i] - mean_x);
    square_y += (y[i] - mean_y) * (y[i] - mean_y);
  }
  return std::clamp(both / (std::sqrt(square_x) * std::sqrt(square_y)), -1.0, 1.0);
}

// Returns ranks from 1; equal values share the mean of their ranks.
std::vector<double> ranks(const std::vector<double>& x) {
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

RegressionMetrics regression_metrics(std::span<const double> gold, std::span<const double> predicted,
                                     std::size_t outputs) {
  if (outputs == 0 || gold.size() != predicted.size() || gold.size() % outputs != 0)
    throw Error(Exit::internal, fmt::format("regression_metrics: {} values and {} predictions of {} outputs",
                                            gold.size(), predicted.size(), outputs));
  const auto finite = [](double value) { return std::isfinite(value); };
  if (!std::ranges::all_of(gold, finite) || !std::ranges::all_of(predicted, finite)) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, nan, nan, nan};
  }
  const std::size_t samples = gold.size() / outputs;
  if (samples == 0) return {};
  RegressionMetrics sum;
  std::vector<double> truth(samples), estimate(samples);
  for (std::size_t k = 0; k < outputs; ++k) {
    for (std::size_t i = 0; i < samples; ++i) {
      truth[i] = gold[i * outputs + k];
      estimate[i] = predicted[i * outputs + k];
    }
    const double middle = mean(truth);
    double squares = 0, absolutes = 0, spread = 0;
    for (std::size_t i = 0; i < samples; ++i) {
      squares += (truth[i] - estimate[i]) * (truth[i] - estimate[i]);
      absolutes += std::abs(truth[i] - estimate[i]);
      spread += (truth[i] - middle) * (truth[i] - middle);
    }
    sum.mse += squares / static_cast<double>(samples);
    sum.mae += absolutes / static_cast<double>(samples);
    // For constant targets: 1 if they are predicted exactly, otherwise 0, as in scikit-learn.
    if (samples > 1) sum.r2 += spread > 0 ? 1 - squares / spread : squares == 0 ? 1 : 0;
    sum.pearson += pearson(truth, estimate);
    sum.spearman += pearson(ranks(truth), ranks(estimate));
  }
  const auto k = static_cast<double>(outputs);
  return {sum.mse / k, sum.mae / k, sum.r2 / k, sum.pearson / k, sum.spearman / k};
}

}  // namespace polyhead
