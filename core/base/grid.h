// Doubles on a grid: sums of multiples of 2^-30 are exact below 2^23, so that their order, and with it the number of
// workers that add, does not matter. Beyond that only the last bit depends on the order.
#pragma once

#include <cmath>

namespace polyhead {

inline constexpr double kGrid = 1.0 / (1 << 30);

// The nearest multiple of the grid; what is not finite stays.
inline double on_grid(double value) {
  return std::nearbyint(value / kGrid) * kGrid;
}

}  // namespace polyhead
