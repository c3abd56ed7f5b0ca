// Which worker holds which heads.
#pragma once

#include <string>
#include <vector>

namespace polyhead {

// For each task the ranks of its group, ascending, never empty; every worker is in at least one group.
struct Placement {
  std::vector<std::vector<int>> groups;  // [tasks]
  std::vector<double> load;              // [workers], in the unit of cost

  std::vector<int> tasks_of(int worker) const;  // ascending
};

// Spreads tasks over workers so that the largest load is small: tasks heavier than an equal share of the total, and
// idle workers, make groups (uneven groups allowed); a group's members share a task's cost equally; longest processing
// time first (Graham, 1969). Deterministic. cost: > 0 each, of a step. Throws Error(config) without tasks or workers.
Placement place(const std::vector<double>& cost, int workers);

// One line a worker: "worker 0: section, en-it (1/2) …, 53 % of the load".
std::string describe(const Placement& placement, const std::vector<std::string>& tasks);

}  // namespace polyhead
