// Trains the runs of a comparison as child processes, as `polyhead train` would.
#pragma once

#include <string>

#include "distributed/communicator/communicator.h"
#include "launch/compare/plan.h"

namespace polyhead {

struct TrainingOptions {
  std::string launcher;  // command that starts the workers of a run; "": one worker
  int jobs = 1;          // runs that train at the same time, at most kMostChildren
};

// Trains the runs that are not done yet, in the order of the plan, and prints what happens. When it returns or throws,
// no run trains any more.
// - After a signal to this process, or if a run ends with code 75, all runs save and end, and it returns false.
// - If a run fails, no other is started, those that train save and end, and Error names the run, with its exit code if
//   that has a meaning for compare, otherwise with Exit::internal. The same call resumes them later.
// - Runs of which several train at the same time have an equal share of the cores, if neither run.threads nor
//   OMP_NUM_THREADS is given and the number of threads is free. A run that began earlier keeps its number.
bool train_runs(const ComparePlan& plan, const TrainingOptions& options, Communicator& world);

}  // namespace polyhead
