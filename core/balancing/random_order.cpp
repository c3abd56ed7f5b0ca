#include "core/balancing/random_order.h"

#include <algorithm>
#include <utility>

#include "core/base/counter_random.h"

namespace polyhead {

std::vector<std::size_t> random_order(const GramProblem& problem, std::size_t task, std::uint64_t seed) {
  constexpr std::uint64_t kOrder = 0x6f72646572;  // "order"
  const std::uint64_t key =
      derive(derive(derive(seed, kOrder), static_cast<std::uint64_t>(problem.step)), problem.tasks[task]);
  std::vector<std::pair<std::uint64_t, std::size_t>> draws;
  for (std::size_t other = 0; other < problem.tasks.size(); ++other)
    if (other != task) draws.emplace_back(draw(key, problem.tasks[other]), other);
  std::ranges::sort(draws);
  std::vector<std::size_t> order;
  for (const auto& [number, other] : draws) order.push_back(other);
  return order;
}

}  // namespace polyhead
