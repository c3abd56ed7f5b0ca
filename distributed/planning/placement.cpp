// Longest processing time first over task groups: groups grow while that makes the slowest worker faster.
#include "distributed/planning/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <queue>

#include "core/base/at.h"
#include "core/base/error.h"

namespace polyhead {
namespace {

// A head on several workers costs memory and an all-reduce per step, so a larger group must reduce the largest load to
// below this fraction.
constexpr double kWorthIt = 0.99;
// Maximum number of pairs of parts that refine() examines, which takes some tenths of a second.
constexpr std::size_t kLookedAt = 20'000'000;
// Up to this number of workers, describe() writes one line for each.
constexpr std::size_t kLines = 16;

double largest(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

// Returns what a task costs each member of its group.
double part_of(const Placement& placement, const std::vector<double>& cost, std::size_t task) {
  return cost[task] / static_cast<double>(placement.groups[task].size());
}

void count_load(Placement& placement, const std::vector<double>& cost) {
  std::fill(placement.load.begin(), placement.load.end(), 0.0);
  for (std::size_t t = 0; t < cost.size(); ++t)
    for (const int worker : placement.groups[t]) at(placement.load, worker) += part_of(placement, cost, t);
}

// Assigns the heaviest part first, each to the least loaded worker that does not hold the task yet. Pinned tasks have 0
// members.
Placement longest_first(const std::vector<double>& cost, const std::vector<int>& members, Placement result) {
  std::vector<std::size_t> order;
  for (std::size_t t = 0; t < cost.size(); ++t)
    if (members[t] > 0) order.push_back(t);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return cost[a] / members[a] > cost[b] / members[b]; });
  using Entry = std::pair<double, int>;  // load, worker
  std::vector<Entry> entries;
  for (int worker = 0; const double load : result.load) entries.emplace_back(load, worker++);
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue(std::greater<>(), std::move(entries));
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

// Moves and swaps free parts between the slowest worker and another as long as the slower of the two gets faster, and
// as long as the search stays short.
class Refinement {
 public:
  Refinement(Placement& placement, const std::vector<double>& cost, const std::vector<int>& members)
      : placement_(placement), cost_(cost), members_(members), held_(placement.tasks_by_worker()) {}

  void run() {
    for (std::size_t round = 0; round < 4 * cost_.size() && looked_at_ < kLookedAt; ++round) {
      const auto slowest = std::ranges::max_element(placement_.load);
      const std::size_t slow = index_of(placement_.load, slowest);
      const Exchange best = best_exchange(slow);
      if (best.to == held_.size()) return;
      move(*best.give, slow, best.to);
      if (best.take) move(*best.take, best.to, slow);
      for (const std::size_t worker : {slow, best.to}) {
        placement_.load[worker] = 0;
        for (const std::size_t task : held_[worker]) placement_.load[worker] += part_of(placement_, cost_, task);
      }
    }
  }

 private:
  // The slowest worker gives away a task, and may get another one for it.
  struct Exchange {
    double slower;   // load of the slower of the two workers afterwards
    std::size_t to;  // the other worker; the number of workers if there is no exchange
    std::optional<std::size_t> give, take;
  };

  static bool has(const std::vector<std::size_t>& tasks, std::size_t task) {
    return std::binary_search(tasks.begin(), tasks.end(), task);
  }
  bool free(std::size_t task) const { return members_[task] > 0; }
  double part(std::size_t task) const { return cost_[task] / members_[task]; }

  Exchange best_exchange(std::size_t slow) {
    Exchange best{placement_.load[slow] * (1 - 1e-9), held_.size(), {}, {}};
    const std::vector<std::size_t>& mine = held_[slow];
    for (std::size_t to = 0; to < held_.size(); ++to) {
      if (to == slow) continue;
      const std::vector<std::size_t>& theirs = held_[to];
      looked_at_ += 1 + mine.size() * theirs.size();
      for (const std::size_t give : mine) {
        if (!free(give) || has(theirs, give)) continue;
        const auto consider = [&](std::optional<std::size_t> take) {
          const double change = part(give) - (take ? part(*take) : 0.0);
          const double slower = std::max(placement_.load[slow] - change, placement_.load[to] + change);
          if (slower < best.slower) best = {slower, to, give, take};
        };
        if (mine.size() > 1) consider({});
        for (const std::size_t take : theirs)
          if (free(take) && !has(mine, take)) consider(take);
      }
    }
    return best;
  }

  void move(std::size_t task, std::size_t from, std::size_t to) {
    std::vector<int>& group = placement_.groups[task];
    *std::ranges::find(group, static_cast<int>(from)) = static_cast<int>(to);
    std::ranges::sort(group);
    held_[from].erase(std::ranges::find(held_[from], task));
    held_[to].insert(std::ranges::lower_bound(held_[to], task), task);
  }

  Placement& placement_;
  const std::vector<double>& cost_;
  const std::vector<int>& members_;  // of each task's group; 0: pinned
  std::vector<std::vector<std::size_t>> held_;
  std::size_t looked_at_ = 0;
};

// Returns the tasks' numbers of members with which place() begins: 1 for free tasks, 0 for pinned ones. Throws
// Error(config) if a task is pinned to a worker that does not exist.
std::vector<int> first_members(const Placement& start, int workers) {
  std::vector<int> members;
  for (std::size_t t = 0; t < start.groups.size(); ++t) {
    members.push_back(start.groups[t].empty() ? 1 : 0);
    if (!start.groups[t].empty() && start.groups[t].back() >= workers)
      throw Error(Exit::config,
                  fmt::format("task number {} is pinned to worker {}, but there are only {} workers, numbered from 0",
                              t, start.groups[t].back(), workers));
  }
  return members;
}

}  // namespace

std::vector<std::vector<std::size_t>> Placement::tasks_by_worker() const {
  std::vector<std::vector<std::size_t>> held(load.size());
  for (std::size_t t = 0; t < groups.size(); ++t)
    for (const int worker : groups[t]) at(held, worker).push_back(t);
  return held;
}

Placement place(const std::vector<double>& cost, int workers, const std::vector<std::vector<int>>& pinned) {
  if (cost.empty()) throw Error(Exit::config, "no tasks to place: run.tasks names none, or the data set has none");
  if (workers < 1)
    throw Error(Exit::config,
                fmt::format("cannot place {} tasks on {} workers: at least 1 is needed", cost.size(), workers));
  for (std::size_t t = 0; t < cost.size(); ++t)
    if (!(cost[t] > 0 && std::isfinite(cost[t])))
      throw Error(Exit::internal,
                  fmt::format("the cost of task number {} is {}; costs are finite and above 0", t, cost[t]));
  Placement start{pinned, std::vector<double>(static_cast<std::size_t>(workers))};
  start.groups.resize(cost.size());
  std::vector<int> members = first_members(start, workers);
  std::int64_t parts = std::ranges::count(members, 1);
  count_load(start, cost);
  const std::int64_t idle = std::ranges::count(start.load, 0.0);
  if (parts == 0 && idle > 0)
    throw Error(
        Exit::config,
        fmt::format("every task is pinned (task.NAME.workers), and that leaves {} of {} workers without a task, "
                    "the first of them worker {}: pin one there, or leave a task free",
                    idle, workers, std::ranges::find(start.load, 0.0) - start.load.begin()));
  const double share = std::accumulate(cost.begin(), cost.end(), 0.0) / workers;
  std::int64_t next = idle;  // number of parts of the next attempt
  Placement best;
  double best_load = std::numeric_limits<double>::infinity();
  for (;;) {
    if (parts >= next) {  // with fewer than `idle` parts, a worker would get none
      Placement candidate = longest_first(cost, members, start);
      const double load = largest(candidate.load);
      if (load < kWorthIt * best_load) {
        best_load = load;
        best = std::move(candidate);
      }
      next = parts + std::max<std::int64_t>(1, parts / 64);
    }
    // Only tasks above an equal share are split, until a part is half a share, as smaller parts fill gaps. If workers
    // would be idle, all tasks may be split.
    std::size_t grow = cost.size();
    for (std::size_t t = 0; t < cost.size(); ++t)
      if (members[t] > 0 && members[t] < workers &&
          (parts < idle || (cost[t] > share && cost[t] / members[t] > share / 2)) &&
          (grow == cost.size() || cost[t] / members[t] > cost[grow] / members[grow]))
        grow = t;
    if (grow == cost.size()) break;
    ++members[grow];
    ++parts;
  }
  for (std::size_t t = 0; t < cost.size(); ++t)
    if (members[t] > 0) members[t] = static_cast<int>(best.groups[t].size());
  Refinement(best, cost, members).run();
  return best;
}

std::string describe(const Placement& placement, const std::vector<std::string>& tasks) {
  const double total = std::accumulate(placement.load.begin(), placement.load.end(), 0.0);
  const std::vector<std::vector<std::size_t>> held = placement.tasks_by_worker();
  const auto line = [&](std::size_t worker) {
    std::string text;
    for (const std::size_t task : held[worker]) {
      const std::size_t members = placement.groups[task].size();
      text += fmt::format("{}{}", text.empty() ? "" : ", ", tasks.at(task));
      if (members > 1) text += fmt::format(" (1/{})", members);
    }
    const double percent = 100 * placement.load[worker] / total;
    return percent < 0.995 ? fmt::format("{}, {:.2g} % of the load", text, percent)
                           : fmt::format("{}, {:.0f} % of the load", text, percent);
  };
  std::string text;
  for (std::size_t first = 0, last = 0; first < held.size(); first = last + 1) {
    const std::string holds = line(first);
    last = first;
    while (last + 1 < held.size() && held[last + 1] == held[first] && line(last + 1) == holds) ++last;
    if (held.size() <= kLines) last = first;
    text += last == first ? fmt::format("worker {}: {}\n", first, holds)
                          : fmt::format("workers {} to {}: {} each\n", first, last, holds);
  }
  return text;
}

}  // namespace polyhead
