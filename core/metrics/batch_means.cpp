// Batch means, with Student's distribution for a whole number of degrees of freedom.
#include "core/metrics/batch_means.h"

#include <cmath>
#include <numbers>

namespace polyhead {
namespace {

// Returns the probability that |T| < t, by the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4.
double probability_within(double t, std::int64_t degrees) {
  const double angle = std::atan(t / std::sqrt(static_cast<double>(degrees)));
  const double sine = std::sin(angle), cosine = std::cos(angle);
  const bool odd = degrees % 2 == 1;
  double term = odd ? cosine : 1, sum = degrees == 1 ? 0 : term;
  for (std::int64_t k = odd ? 3 : 2; k < degrees; k += 2) {
    term *= static_cast<double>(k - 1) / static_cast<double>(k) * cosine * cosine;
    sum += term;
  }
  return odd ? 2 / std::numbers::pi * (angle + sine * sum) : sine * sum;
}

}  // namespace

double student_quantile(std::int64_t degrees) {
  double low = 1, high = 13;  // the quantiles are between 1.96 and 12.71
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (probability_within(middle, degrees) < 0.95 ? low : high) = middle;
  }
  return (low + high) / 2;
}

Estimate mean_over_blocks(std::span<const BlockSum> blocks) {
  BlockSum all;
  std::int64_t used = 0;
  for (const BlockSum& block : blocks) {
    all.add(block);
    if (block.count > 0) ++used;
  }
  Estimate found;
  found.steps = all.count;
  if (all.count == 0) return found;
  const auto count = static_cast<double>(all.count);
  found.mean = all.sum / count;
  if (used < 2) return found;
  double squares = 0;
  for (const BlockSum& block : blocks) {
    const double difference = block.sum - static_cast<double>(block.count) * found.mean;
    squares += difference * difference;
  }
  const auto number = static_cast<double>(used);
  const double half = student_quantile(used - 1) * std::sqrt(number / (number - 1) * squares) / count;
  found.interval = {found.mean - half, found.mean + half};
  return found;
}

}  // namespace polyhead
