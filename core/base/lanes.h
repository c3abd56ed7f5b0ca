// Four doubles that the compiler computes with together, in one register where the processor has such registers.
#pragma once

#include <cstddef>

namespace polyhead {

inline constexpr std::size_t kLanes = 4;
// A pointer to them may point to any doubles.
typedef double Lanes __attribute__((vector_size(kLanes * sizeof(double)), aligned(alignof(double)), may_alias));

inline __attribute__((always_inline)) const Lanes& lanes_at(const double* values) {
  return *reinterpret_cast<const Lanes*>(values);
}
inline __attribute__((always_inline)) double sum_of(const Lanes& lanes) {
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

}  // namespace polyhead
