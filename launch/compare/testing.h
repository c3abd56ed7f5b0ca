// Tests the trained runs of a comparison: rows of metrics on a split and on train, and what training took.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/kinds/task_kind.h"
#include "datasets/manifest.h"
#include "distributed/communicator/communicator.h"
#include "launch/compare/plan.h"

namespace polyhead {

// A task's results in one run, at the checkpoint that is tested.
struct TestedTask {
  std::vector<double> rows;   // of the headline metric on all samples of the split, [samples, 2]
  std::vector<double> train;  // the same on at most run.eval_samples samples of train (evaluation_samples)
  std::int64_t step = 0;      // of the checkpoint
  std::int64_t samples = 0;   // of the task that the run has taken up to this step
  double seconds = 0;         // of all training steps up to this one; NaN if metrics.jsonl does not have all of them
};

Metric headline_of(const TaskInfo& task);

// Returns the results of a run by task. They are kept in the run's folder and read from there, if neither the run nor
// the data has changed. Returns nullopt if a signal ended it. Throws Error(data) if the checkpoint is damaged.
std::optional<std::map<std::string, TestedTask>> test_run(const ComparedRun& run, const ComparePlan& plan,
                                                          const Manifest& manifest, Communicator& world);

}  // namespace polyhead
