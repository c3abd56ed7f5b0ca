// Errors and correlations of predicted numbers.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "core/metrics/correlation.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

// A correlation that is not defined counts as 0.
double or_0(double correlation) {
  return std::isnan(correlation) ? 0 : correlation;
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
    const double middle = std::accumulate(truth.begin(), truth.end(), 0.0) / static_cast<double>(samples);
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
    sum.pearson += or_0(pearson(truth, estimate));
    sum.spearman += or_0(spearman(truth, estimate));
  }
  const auto k = static_cast<double>(outputs);
  return {sum.mse / k, sum.mae / k, sum.r2 / k, sum.pearson / k, sum.spearman / k};
}

}  // namespace polyhead
