// Correlations of two lists of numbers, and the bootstrap interval of a rank correlation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/metrics/scores.h"

namespace polyhead {

// Pearson's correlation, as scipy.stats.pearsonr. NaN where it is not defined: for fewer than two values and for a
// constant list. The lists have the same length and only finite values.
double pearson(std::span<const double> x, std::span<const double> y);
// Spearman's rank correlation, as scipy.stats.spearmanr: equal values share the mean of their ranks. NaN as above.
double spearman(std::span<const double> x, std::span<const double> y);

// Returns the 95 % percentile bootstrap interval of Spearman's correlation; {NaN, NaN} if it is not defined in any
// draw. A draw takes whole clusters with replacement, so that values which belong together stay together.
// - cluster[i] is the number of the cluster of values x[i] and y[i], from 0, without gaps.
// - Draw d takes the clusters bounded(draw(derive(seed, d), i)) for i < number of clusters. Draws in which the
//   correlation is not defined are left out.
Interval spearman_interval(std::span<const double> x, std::span<const double> y, std::span<const std::size_t> cluster,
                           int draws, std::uint64_t seed);

}  // namespace polyhead
