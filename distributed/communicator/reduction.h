// The element-wise operations of an all-reduce, in a fixed order of members, so that the result's bits do not depend on
// who computes it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "distributed/communicator/communicator.h"

namespace polyhead {

template <Reduce reduce, class T>
inline T combine(T a, T b) {
  if constexpr (reduce == Reduce::sum) {
    if constexpr (std::is_integral_v<T>) {
      using U = std::make_unsigned_t<T>;  // wraps where a signed sum would be undefined
      return static_cast<T>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b)));
    } else {
      return a + b;
    }
  } else {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(a)) return a;  // and a NaN in b fails both comparisons below
    }
    return (reduce == Reduce::max ? a > b : a < b) ? a : b;
  }
}

// Calls `call.template operator()<T, reduce>()` for the element type and the reduction.
template <class Call>
void dispatch(DType type, Reduce reduce, Call&& call) {
  const auto with_type = [&]<class T>() {
    switch (reduce) {
      case Reduce::sum:
        return call.template operator()<T, Reduce::sum>();
      case Reduce::max:
        return call.template operator()<T, Reduce::max>();
      case Reduce::min:
        return call.template operator()<T, Reduce::min>();
    }
  };
  switch (type) {
    case DType::u8:
      return with_type.template operator()<std::uint8_t>();
    case DType::i32:
      return with_type.template operator()<std::int32_t>();
    case DType::i64:
      return with_type.template operator()<std::int64_t>();
    case DType::u64:
      return with_type.template operator()<std::uint64_t>();
    case DType::f32:
      return with_type.template operator()<float>();
    case DType::f64:
      return with_type.template operator()<double>();
  }
}

}  // namespace polyhead
