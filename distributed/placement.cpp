// Longest processing time first over task groups: groups grow while that makes the slowest worker faster.
#include "distributed/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <queue>

#include "core/base/error.h"

namespace polyhead {
namespace {

// A head on several workers costs an all-reduce a step and memory, so a larger group must pay by this much.
constexpr double kWorthIt = 0.99;

double largest(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

void count_load(Placement& placement, const std::vector<double>& cost) {
  std::fill(placement.load.begin(), placement.load.end(), 0.0);
  for (std::size_t t = 0; t < cost.size(); ++t)
    for (const int worker : placement.groups[t])
      placement.load[static_cast<std::size_t>(worker)] += cost[t] / static_cast<double>(placement.groups[t].size());
}

// Heaviest part first, each to the least loaded worker that does not hold the task yet.
Placement longest_first(const std::vector<double>& cost, const std::vector<int>& members, int workers) {
  std::vector<std::size_t> order(cost.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return cost[a] / members[a] > cost[b] / members[b]; });
  Placement result{std::vector<std::vector<int>>(cost.size()), std::vector<double>(static_cast<std::size_t>(workers))};
  using Entry = std::pair<double, int>;  // load, worker
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  for (int worker = 0; worker < workers; ++worker) queue.emplace(0.0, worker);
  for (const std::size_t task : order) {
    std::vector<Entry> taken;
    for (int i = 0; i < members[task]; ++i) {
      taken.push_back(queue.top());
      queue.pop();
    }
    for (auto& [load, worker] : taken) {
      result.groups[task].push_back(worker);
      queue.emplace(load + cost[task] / members[task], worker);
    }
    std::sort(result.groups[task].begin(), result.groups[task].end());
  }
  count_load(result, cost);
  return result;
}

// Moves and swaps parts between the slowest worker and another as long as the slower of the two gets faster.
void refine(Placement& placement, const std::vector<double>& cost) {
  const int workers = static_cast<int>(placement.load.size());
  const auto load = [&](int worker) { return placement.load[static_cast<std::size_t>(worker)]; };
  for (std::size_t round = 0; round < 4 * cost.size(); ++round) {
    const int slow =
        static_cast<int>(std::max_element(placement.load.begin(), placement.load.end()) - placement.load.begin());
    double best = load(slow) * (1 - 1e-9);
    int best_to = -1, best_give = -1, best_take = -1;
    const auto part = [&](int task) {
      return task < 0 ? 0.0
                      : cost[static_cast<std::size_t>(task)] /
                            static_cast<double>(placement.groups[static_cast<std::size_t>(task)].size());
    };
    const std::vector<int> mine = placement.tasks_of(slow);
    for (int to = 0; to < workers; ++to) {
      if (to == slow) continue;
      std::vector<int> theirs = placement.tasks_of(to);
      const auto has = [](const std::vector<int>& tasks, int task) {
        return std::binary_search(tasks.begin(), tasks.end(), task);
      };
      for (const int give : mine) {
        if (has(theirs, give)) continue;
        const auto consider = [&](int take) {
          const double change = part(give) - part(take);
          const double slower = std::max(load(slow) - change, load(to) + change);
          if (slower < best) best = slower, best_to = to, best_give = give, best_take = take;
        };
        if (mine.size() > 1) consider(-1);
        for (const int take : theirs)
          if (!has(mine, take)) consider(take);
      }
    }
    if (best_to < 0) return;
    const auto replace = [&](int task, int from, int by) {
      auto& group = placement.groups[static_cast<std::size_t>(task)];
      *std::find(group.begin(), group.end(), from) = by;
      std::sort(group.begin(), group.end());
    };
    replace(best_give, slow, best_to);
    if (best_take >= 0) replace(best_take, best_to, slow);
    count_load(placement, cost);
  }
}

}  // namespace

std::vector<int> Placement::tasks_of(int worker) const {
  std::vector<int> tasks;
  for (std::size_t t = 0; t < groups.size(); ++t)
    if (std::binary_search(groups[t].begin(), groups[t].end(), worker)) tasks.push_back(static_cast<int>(t));
  return tasks;
}

Placement place(const std::vector<double>& cost, int workers) {
  if (cost.empty()) throw Error(Exit::config, "no tasks to place: run.tasks names none, or the data set has none");
  if (workers < 1)
    throw Error(Exit::config,
                fmt::format("cannot place {} tasks on {} workers: at least 1 is needed", cost.size(), workers));
  for (std::size_t t = 0; t < cost.size(); ++t)
    if (!(cost[t] > 0 && std::isfinite(cost[t])))
      throw Error(Exit::internal,
                  fmt::format("the cost of task number {} is {}; costs are finite and above 0", t, cost[t]));
  const double share = std::accumulate(cost.begin(), cost.end(), 0.0) / workers;
  std::vector<int> members(cost.size(), 1);
  std::size_t parts = cost.size();
  Placement best;
  double best_load = std::numeric_limits<double>::infinity();
  for (;;) {
    if (parts >= static_cast<std::size_t>(workers)) {  // else some worker would be idle
      Placement candidate = longest_first(cost, members, workers);
      const double load = largest(candidate.load);
      if (load < kWorthIt * best_load) best_load = load, best = std::move(candidate);
    }
    // Only tasks above an equal share are spread; down to half a share a part, for smaller parts fill gaps.
    std::size_t grow = cost.size();
    for (std::size_t t = 0; t < cost.size(); ++t)
      if (cost[t] > share && members[t] < workers && cost[t] / members[t] > share / 2 &&
          (grow == cost.size() || cost[t] / members[t] > cost[grow] / members[grow]))
        grow = t;
    if (grow == cost.size()) break;
    ++members[grow];
    ++parts;
  }
  refine(best, cost);
  return best;
}

std::string describe(const Placement& placement, const std::vector<std::string>& tasks) {
  const double total = std::accumulate(placement.load.begin(), placement.load.end(), 0.0);
  std::string text;
  for (std::size_t worker = 0; worker < placement.load.size(); ++worker) {
    text += fmt::format("worker {}:", worker);
    const char* separator = " ";
    for (const int task : placement.tasks_of(static_cast<int>(worker))) {
      const std::size_t members = placement.groups[static_cast<std::size_t>(task)].size();
      text += fmt::format("{}{}", separator, tasks.at(static_cast<std::size_t>(task)));
      if (members > 1) text += fmt::format(" (1/{})", members);
      separator = ", ";
    }
    text += fmt::format(", {:.0f} % of the load\n", 100 * placement.load[worker] / total);
  }
  return text;
}

}  // namespace polyhead
