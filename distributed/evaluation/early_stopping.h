// What evaluations on valid decide: which tasks are finished (early stopping), whether training ends, and which step is
// the best. A function of the results alone, so that all workers decide alike.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "datasets/manifest.h"
#include "distributed/options.h"

namespace polyhead {

// The metrics of a task that evaluations on valid give, by its kind and labels; the first is "loss".
std::vector<std::string> valid_metrics(const TaskInfo& task);
bool lower_is_better(const std::string& metric);

// Throws Error(config) for an unknown metric or task. tasks: those of the run that have valid samples, by name.
void check(const ValidationOptions& options, const std::map<std::string, TaskInfo>& tasks);

struct BestValue {
  double value = 0;
  std::int64_t step = 0;   // 0: no finite value yet
  std::int64_t since = 0;  // evaluations since then
  bool operator==(const BestValue&) const = default;
};
// Part of a checkpoint.
struct ValidationState {
  BestValue run;
  std::map<std::string, BestValue> tasks;
  std::map<std::string, std::int64_t> finished;  // task -> the last step that it took part in
  bool operator==(const ValidationState&) const = default;
};

using ValidationResults = std::map<std::string, std::map<std::string, double>>;  // task -> metric -> value

// Takes note of an evaluation after `step`; -> the tasks that it finishes, which are then in state.finished too.
// active: tasks that take part in training now; the patience with others does not run out.
std::vector<std::string> take_note(const ValidationOptions& options, const ValidationResults& results,
                                   const std::set<std::string>& active, std::int64_t step, ValidationState& state);

// Why training ends early: "every task is finished"; "": it does not.
std::string why_ended(const ValidationOptions& options, const ValidationState& state);

}  // namespace polyhead
