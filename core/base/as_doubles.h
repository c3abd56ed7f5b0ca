// Integers as floating-point numbers, for estimates and means.
#pragma once

#include <array>

namespace polyhead {

// Options and counts are integers, and what is estimated from them is not.
template <class... Numbers>
std::array<double, sizeof...(Numbers)> as_doubles(Numbers... numbers) {
  return {static_cast<double>(numbers)...};
}

}  // namespace polyhead
