// The measurements that a training run makes on its encoder, and Adam, for two parameters.
#include "descent.h"

#include <cmath>

#include <fmt/format.h>

#include "core/base/error.h"

namespace toy {
namespace {

using polyhead::BalanceInput;
using polyhead::Balancer;
using polyhead::TaskBuffer;

double dot(const Vector& a, const Vector& b) {
  return a[0] * b[0] + a[1] * b[1];
}

// The buffers that balancers of norms want (core/balancing/balancer.h).
class Buffers {
 public:
  // Changes the gradients to what is summed for the update, and returns the rows whose norms the balancer reads.
  std::array<Vector, 2> apply(const TaskBuffer& kind, const std::vector<double>& loss,
                              std::array<Vector, 2>& gradient) {
    std::array<Vector, 2> rows = gradient;
    for (std::size_t task = 0; task < 2; ++task)
      for (std::size_t i = 0; i < 2; ++i) {
        double& buffer = buffers_[task][i];
        const double g = gradient[task][i];
        switch (kind.kind) {
          case TaskBuffer::Kind::none:
            break;
          case TaskBuffer::Kind::log_average:
            buffer += kind.rate * (g / loss[task] - buffer);
            rows[task][i] = gradient[task][i] = buffer;
            break;
          case TaskBuffer::Kind::square_sum:
            buffer += g * g;
            rows[task][i] = buffer > 0 ? g / std::sqrt(std::sqrt(buffer)) : 0;
            break;
        }
      }
    return rows;
  }

 private:
  std::array<Vector, 2> buffers_{};
};

class Adam {
 public:
  void step(Vector& x, const Vector& gradient) {
    constexpr double kRate = 1e-3, kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
    power1_ *= kBeta1;
    power2_ *= kBeta2;
    for (std::size_t i = 0; i < 2; ++i) {
      mean_[i] = kBeta1 * mean_[i] + (1 - kBeta1) * gradient[i];
      square_[i] = kBeta2 * square_[i] + (1 - kBeta2) * gradient[i] * gradient[i];
      x[i] -= kRate * (mean_[i] / (1 - power1_)) / (std::sqrt(square_[i] / (1 - power2_)) + kEpsilon);
    }
  }

 private:
  Vector mean_{}, square_{};
  double power1_ = 1, power2_ = 1;
};

}  // namespace

Path descend(const Descent& descent) {
  const auto balancer = polyhead::make_balancer(descent.balancer, {"first", "second"}, 1);
  Path path{descent.start, {descent.start}};
  Vector& x = path.end;
  Buffers buffers;
  Adam adam;
  BalanceInput input{.active = {true, true}, .static_weight = {1, 1}};
  input.loss.resize(2);
  input.gram = polyhead::SquareMatrix(2);
  for (std::int64_t step = 1; step <= descent.steps; ++step) {
    Problem::Value value = descent.problem.at(x);
    input.step = step;
    for (std::size_t task = 0; task < 2; ++task) input.loss[task] = value.loss[task] + descent.offset[task];
    const bool norms = balancer->reads() == Balancer::Reads::norms;
    const auto rows = buffers.apply(norms ? balancer->buffer(step) : TaskBuffer{}, input.loss, value.gradient);
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 2; ++j) input.gram(i, j) = norms && i != j ? 0 : dot(rows[i], rows[j]);
    const std::vector<double> weights = balancer->weights(input);
    Vector direction{};
    for (std::size_t task = 0; task < 2; ++task)
      for (std::size_t i = 0; i < 2; ++i) direction[i] += weights[task] * value.gradient[task][i];
    adam.step(x, direction);
    if (!std::isfinite(x[0]) || !std::isfinite(x[1]))
      throw polyhead::Error(polyhead::Exit::diverged,
                            fmt::format("step {} of {}: the point is not finite; the weights were {} and {}", step,
                                        descent.balancer.method, weights[0], weights[1]));
    if (step % Path::kThinned == 0) path.points.push_back(x);
  }
  path.points.push_back(x);
  return path;
}

}  // namespace toy
