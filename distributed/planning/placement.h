// Which worker holds which heads.
#pragma once

#include <string>
#include <vector>

namespace polyhead {

// For each task the ranks of its group, ascending, never empty; every worker is in at least one group.
struct Placement {
  std::vector<std::vector<int>> groups;  // [tasks]
  std::vector<double> load;              // [workers], in the unit of cost

  std::vector<int> tasks_of(int worker) const;            // ascending
  std::vector<std::vector<int>> tasks_by_worker() const;  // [workers], each ascending
};

// Spreads tasks over workers so that the largest load is small: tasks heavier than an equal share of the total, and
// idle workers, make groups (uneven groups allowed); a group's members share a task's cost equally; longest processing
// time first (Graham, 1969). Deterministic; 1,000 tasks on 10,000 workers take a fraction of a second. cost: > 0 each,
// of a step. pinned: for each task the ranks of its group, ascending, or none where it is free; {}: all are free.
// Throws Error(config) without tasks or workers, for a rank out of range, and where pins leave a worker without a task.
Placement place(const std::vector<double>& cost, int workers, const std::vector<std::vector<int>>& pinned = {});

// One line a worker (of many, neighbours that hold the same share one): "worker 0: section, en-it (1/2) …, 53 % of the
// load".
std::string describe(const Placement& placement, const std::vector<std::string>& tasks);

}  // namespace polyhead
