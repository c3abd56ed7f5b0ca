// Decides after evaluations on valid which tasks are finished (early stopping), whether training ends, and which step
// is the best. The decisions depend on the results only, so that they are equal on all workers.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/base/kind.h"
#include "distributed/options.h"

namespace polyhead {

// A task of the run that has valid samples.
struct ValidatedTask {
  Kind kind = Kind::classification;
  std::vector<std::string> metrics;  // valid_metrics()
};
// Throws Error(config) for an unknown metric or task. tasks: by name.
void check(const ValidationOptions& options, const std::map<std::string, ValidatedTask>& tasks);

struct BestValue {
  double value = 0;
  std::int64_t step = 0;   // 0: no finite value yet
  std::int64_t since = 0;  // number of evaluations since then
  bool operator==(const BestValue&) const = default;
};
// Part of a checkpoint.
struct ValidationState {
  BestValue run;                          // of run.best; of several values, of the first
  std::map<std::string, BestValue> best;  // of each value of run.best, if it has several
  std::map<std::string, BestValue> tasks;
  std::map<std::string, std::int64_t> finished;  // task -> the last step that it took part in
  bool operator==(const ValidationState&) const = default;

  // Whether this step is the best one so far by any value of run.best.
  bool is_best(std::int64_t step) const;
};

using ValidationResults = std::map<std::string, std::map<std::string, double>>;  // task -> metric -> value

// Records an evaluation after `step`, and returns the tasks that are finished by it (they are added to state.finished).
// active: tasks that are being trained; evaluations of other tasks do not count towards their patience.
std::vector<std::string> take_note(const ValidationOptions& options, const ValidationResults& results,
                                   const std::set<std::string>& active, std::int64_t step, ValidationState& state);

// Returns why training ends early, such as "every task is finished"; "": it does not end.
std::string why_ended(const ValidationOptions& options, const ValidationState& state);

}  // namespace polyhead
