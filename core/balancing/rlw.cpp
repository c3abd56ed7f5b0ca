// Random loss weighting (Lin et al., arXiv 2111.10603): the softmax of a standard normal number for each active task,
// new in each step. The number is a pure function of the seed, the step and the task, so there is no state.
#include <cmath>
#include <numbers>

#include "core/balancing/loss_balancer.h"
#include "core/balancing/methods.h"
#include "core/base/counter_random.h"

namespace polyhead {
namespace {

// By Box and Muller.
double normal(std::uint64_t key) {
  const double radius = std::sqrt(-2 * std::log(1 - unit(draw(key, 0))));
  return radius * std::cos(2 * std::numbers::pi * unit(draw(key, 1)));
}

class Rlw : public Balancer {
 public:
  explicit Rlw(std::uint64_t seed) : key_(derive(seed, 0x726c77)) {}  // "rlw"

  std::vector<double> weights(const BalanceInput& input) override {
    const std::uint64_t step_key = derive(key_, static_cast<std::uint64_t>(input.step));
    std::vector<std::size_t> tasks;
    std::vector<double> draws, weights(input.active.size(), 0);
    for (std::size_t task = 0; task < weights.size(); ++task) {
      if (!input.active[task]) continue;
      tasks.push_back(task);
      draws.push_back(normal(derive(step_key, task)));
    }
    if (tasks.empty()) return weights;
    const std::vector<double> shares = softmax(draws);
    for (std::size_t i = 0; i < tasks.size(); ++i) weights[tasks[i]] = shares[i];
    return weights;
  }

 private:
  std::uint64_t key_;
};

}  // namespace

std::unique_ptr<Balancer> make_rlw(const BalancerSpec& spec) {
  return std::make_unique<Rlw>(spec.seed);
}

}  // namespace polyhead
