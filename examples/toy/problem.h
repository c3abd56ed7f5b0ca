// The two-dimensional problem with two tasks of CAGrad (arXiv 2110.14048), which Nash-MTL and FAMO use with the first
// loss scaled by 0.1.
#pragma once

#include <array>

namespace toy {

using Vector = std::array<double, 2>;

struct Problem {
  double scale = 1;  // factor of the first loss

  struct Value {
    Vector loss;                     // [tasks]; negative near the front
    std::array<Vector, 2> gradient;  // [tasks]
  };
  Value at(const Vector& x) const;
};

// The Pareto front is the segment between (-kFrontEnd, kFrontHeight) and (kFrontEnd, kFrontHeight).
constexpr double kFrontHeight = -8.3552, kFrontEnd = 7;

// Whether a final point is on the front. Adam ends up to 0.1 from it.
bool on_front(const Vector& x);

}  // namespace toy
