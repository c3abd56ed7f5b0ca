// F1, average precision and subset accuracy of label sets.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

// Sums precision times the increase of recall over the distinct scores in descending order; 0 without positives.
double average_precision(const std::vector<double>& gold, const std::vector<double>& score) {
  std::vector<std::size_t> order(gold.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, std::greater<>(), [&](std::size_t i) { return score[i]; });
  const double positives = std::accumulate(gold.begin(), gold.end(), 0.0);
  double sum = 0, found = 0, before = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    found += gold[order[i]];
    if (i + 1 < order.size() && score[order[i + 1]] == score[order[i]]) continue;
    sum += (found - before) * found / static_cast<double>(i + 1);
    before = found;
  }
  return positives == 0 ? 0 : sum / positives;
}

}  // namespace

MultilabelMetrics multilabel_metrics(std::span<const double> gold, std::span<const double> probabilities,
                                     std::size_t classes) {
  if (classes == 0 || gold.size() != probabilities.size() || gold.size() % classes != 0)
    throw Error(Exit::internal, fmt::format("multilabel_metrics: {} labels and {} probabilities of {} classes",
                                            gold.size(), probabilities.size(), classes));
  if (std::ranges::any_of(probabilities, [](double p) { return std::isnan(p); })) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, nan, nan};
  }
  const std::size_t samples = gold.size() / classes;
  if (samples == 0) return {};
  MultilabelMetrics out;
  double all_right = 0, all_either = 0;
  std::vector<bool> equal(samples, true);
  std::vector<double> column(samples), score(samples);
  for (std::size_t c = 0; c < classes; ++c) {
    double right = 0, either = 0;
    for (std::size_t i = 0; i < samples; ++i) {
      column[i] = gold[i * classes + c];
      score[i] = probabilities[i * classes + c];
      const double positive = score[i] >= kThreshold ? 1 : 0;
      right += column[i] * positive;
      either += column[i] + positive;
      if (positive != column[i]) equal[i] = false;
    }
    out.macro_f1 += either == 0 ? 0 : 2 * right / either;
    out.average_precision += average_precision(column, score);
    all_right += right;
    all_either += either;
  }
  out.micro_f1 = all_either == 0 ? 0 : 2 * all_right / all_either;
  out.macro_f1 /= static_cast<double>(classes);
  out.average_precision /= static_cast<double>(classes);
  out.subset_accuracy = static_cast<double>(std::ranges::count(equal, true)) / static_cast<double>(samples);
  return out;
}

}  // namespace polyhead
