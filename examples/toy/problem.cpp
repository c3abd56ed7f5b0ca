// In the upper half plane, each loss is the logarithm of a distance to a curve. In the lower one, it is a paraboloid.
#include "problem.h"

#include <algorithm>
#include <cmath>

namespace toy {
namespace {

constexpr double kSmallest = 5e-6;  // of the argument of the logarithm

// A value and its derivatives.
struct Term {
  double value;
  Vector gradient;
};

// log(max(|-x1 / 2 + constant - sign tanh(-x2)|, kSmallest)) + 6
Term valley(const Vector& x, double constant, double sign) {
  const double tanh = std::tanh(-x[1]);
  const double distance = -x[0] / 2 + constant - sign * tanh;
  if (std::abs(distance) <= kSmallest) return {std::log(kSmallest) + 6, {0, 0}};
  return {std::log(std::abs(distance)) + 6, {-0.5 / distance, sign * (1 - tanh * tanh) / distance}};
}

// ((-x1 + center)^2 + (-x2 - 8)^2 / 10) / 10 - 20
Term bowl(const Vector& x, double center) {
  const double across = -x[0] + center, along = -x[1] - 8;
  return {(across * across + 0.1 * along * along) / 10 - 20, {-across / 5, -0.02 * along}};
}

// max(tanh(sign x2 / 2), 0). At 0, its derivative is half of that above 0, as PyTorch's maximum has it.
Term half_plane(const Vector& x, double sign) {
  const double tanh = std::tanh(sign * x[1] / 2);
  const double share = tanh > 0 ? 1 : tanh < 0 ? 0 : 0.5;
  return {std::max(tanh, 0.0), {0, share * sign * (1 - tanh * tanh) / 2}};
}

}  // namespace

Problem::Value Problem::at(const Vector& x) const {
  const Term upper = half_plane(x, 1), lower = half_plane(x, -1);
  const std::array<Term, 2> valleys = {valley(x, -3.5, 1), valley(x, 3.5, -1)};
  const std::array<Term, 2> bowls = {bowl(x, 7), bowl(x, -7)};
  Value value{};
  for (std::size_t task = 0; task < 2; ++task) {
    const double factor = task == 0 ? scale : 1;
    const Term &f = valleys[task], &q = bowls[task];
    value.loss[task] = factor * (f.value * upper.value + q.value * lower.value);
    for (std::size_t i = 0; i < 2; ++i)
      value.gradient[task][i] = factor * (f.gradient[i] * upper.value + f.value * upper.gradient[i] +
                                          q.gradient[i] * lower.value + q.value * lower.gradient[i]);
  }
  return value;
}

bool on_front(const Vector& x) {
  return std::abs(x[1] - kFrontHeight) < 0.15 && std::abs(x[0]) < kFrontEnd + 0.15;
}

}  // namespace toy
