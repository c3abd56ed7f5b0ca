// Doubles on a grid. Sums of multiples of 2^-30 are exact below 2^23, so they depend neither on the order of the terms
// nor on the number of workers. Above that, only the last bit depends on the order.
#pragma once

#include <cmath>

namespace polyhead {

inline constexpr double kGrid = 1.0 / (1 << 30);

// Returns the nearest multiple of the grid. Values that are not finite are returned unchanged.
inline double on_grid(double value) {
  return std::nearbyint(value / kGrid) * kGrid;
}

}  // namespace polyhead
