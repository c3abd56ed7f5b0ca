// What a step of a run costs, from its configuration and the data set's manifest alone, and the placement that follows
// from it: shared by training and by `polyhead plan`.
#pragma once

#include <vector>

#include "datasets/manifest.h"
#include "datasets/sampling/mixture.h"
#include "distributed/description/description.h"
#include "distributed/options.h"
#include "distributed/planning/placement.h"

namespace polyhead {

// Of one task. Tokens are means over train; where the manifest does not state them, 32 a sample.
struct TaskWork {
  double samples = 0;                          // a step, the mean over the run's steps
  double input_tokens = 0, target_tokens = 0;  // a sample
  double operations = 0;                       // a sample: floating-point operations, forward and backward
  double activations = 0;                      // a sample: elements kept for backward
  // A sample: the seconds given (task.NAME.cost), else operations without activation checkpointing.
  double cost = 0;
};

// What a run trains, before train's statistics are read.
ModelDescription describe_model(const TrainOptions& options, const Manifest& manifest);

// [tasks]. mixture: the run's entries from its phases.
std::vector<TaskWork> work_of(const TrainOptions& options, const Manifest& manifest,
                              const std::vector<MixtureEntry>& mixture);

// By cost x samples, around the tasks that the configuration pins. Throws Error(config) naming task and key for a pin
// on a worker that is not there, and where pins leave a worker without a task.
Placement placement_of(const TrainOptions& options, const std::vector<TaskWork>& work, int workers);

}  // namespace polyhead
