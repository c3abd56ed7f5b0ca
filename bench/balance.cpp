// The processor time in which balancers of Gram matrices compute the weights.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <ATen/Parallel.h>

#include "core/balancing/balancer.h"
#include "core/model/torch.h"

namespace polyhead {
namespace {

// Gradients of `parameters` normally distributed numbers, with norms that differ by up to 100. alike: the share that
// all have in common; every third one has its opposite.
SquareMatrix random_gram(std::size_t tasks, std::size_t parameters, double alike, std::mt19937_64& generator) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> common(parameters);
  for (double& value : common) value = normal(generator);
  std::vector<std::vector<double>> rows(tasks, std::vector<double>(parameters));
  for (std::size_t t = 0; t < tasks; ++t) {
    const double scale = std::pow(10, uniform(generator)), sign = t % 3 == 2 ? -1 : 1;
    for (std::size_t p = 0; p < parameters; ++p)
      rows[t][p] = scale * (sign * alike * common[p] + (1 - alike) * normal(generator));
  }
  SquareMatrix gram(tasks);
  for (std::size_t i = 0; i < tasks; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double product = 0;
      for (std::size_t p = 0; p < parameters; ++p) product += rows[i][p] * rows[j][p];
      gram(i, j) = gram(j, i) = product;
    }
  return gram;
}

// Processor time, which does not depend on what else the machine does. All is computed in this thread.
double processor_milliseconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

double milliseconds_of(Balancer& balancer, const BalanceInput& input) {
  const double start = processor_milliseconds();
  const std::vector<double> weights = balancer.weights(input);
  return weights.empty() ? 0 : processor_milliseconds() - start;
}

// The median, and the quartiles in brackets, over 7 matrices, each solved once after one that is not measured.
std::string measured(const std::string& method, std::size_t tasks, double alike) {
  constexpr std::size_t kMatrices = 7;
  std::mt19937_64 generator(tasks);
  std::vector<std::string> names;
  for (std::size_t t = 0; t < tasks; ++t) names.push_back(fmt::format("t{}", t));
  BalancerOptions options;
  options.method = method;
  const auto balancer = make_balancer(options, names, 1);
  std::vector<double> times;
  for (std::size_t matrix = 0; matrix <= kMatrices; ++matrix) {
    BalanceInput input;
    input.step = static_cast<std::int64_t>(matrix) + 1;
    input.active.assign(tasks, true);
    input.static_weight.assign(tasks, 1);
    input.loss.assign(tasks, 1);
    input.gram = random_gram(tasks, 512, alike, generator);
    const double time = milliseconds_of(*balancer, input);
    if (matrix > 0) times.push_back(time);
  }
  std::ranges::sort(times);
  return fmt::format("{:.3f} ({:.3f} to {:.3f})", times[kMatrices / 2], times[kMatrices / 4],
                     times[kMatrices - 1 - kMatrices / 4]);
}

}  // namespace
}  // namespace polyhead

int main() {
  at::set_num_threads(1);
  for (const double alike : {0.0, 0.5}) {
    fmt::print(
        "\nshare in common: {}; milliseconds of processor time, medians (quartiles)\n\n| method | 2 | 8 | 32 | 128 | "
        "256 |\n",
        alike);
    fmt::print("| --- | --- | --- | --- | --- | --- |\n");
    for (const std::string_view name : polyhead::balancer_names()) {
      polyhead::BalancerOptions options;
      options.method = name;
      if (polyhead::make_balancer(options, {"a"}, 1)->reads() != polyhead::Balancer::Reads::gram) continue;
      std::string row = fmt::format("| `{}` |", name);
      for (const std::size_t tasks : {2, 8, 32, 128, 256})
        row += fmt::format(" {} |", polyhead::measured(options.method, tasks, alike));
      fmt::print("{}\n", row);
      std::fflush(stdout);
    }
  }
}
