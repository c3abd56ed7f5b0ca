// The cost of a run's step, computed from its configuration and the data set's manifest only, and the placement that
// follows from it. Training and `polyhead plan` use it.
#pragma once

#include <vector>

#include "datasets/manifest.h"
#include "datasets/sampling/mixture.h"
#include "distributed/description/description.h"
#include "distributed/options.h"
#include "distributed/planning/placement.h"

namespace polyhead {

// The workload of one task. Tokens are means over train; if the manifest does not have them, 32 per sample.
struct TaskWork {
  double samples = 0;                          // per step, the mean over the run's steps
  double input_tokens = 0, target_tokens = 0;  // per sample
  double operations = 0;                       // per sample: floating-point operations, forward and backward
  double activations = 0;                      // per sample: elements kept for backward
  // Per sample: the seconds of task.NAME.cost if they are set, otherwise operations without activation checkpointing.
  double cost = 0;
};

// The description of the model that a run trains, before statistics of train are computed.
ModelDescription describe_model(const TrainOptions& options, const Manifest& manifest);

// [tasks]. mixture: the run's entries from its phases.
std::vector<TaskWork> work_of(const TrainOptions& options, const Manifest& manifest,
                              const std::vector<MixtureEntry>& mixture);

// Places the tasks by cost x samples, around those that the configuration pins to workers. Throws Error(config), which
// names the task and the key, if a pin names a worker that does not exist or if the pins leave a worker without a task.
Placement placement_of(const TrainOptions& options, const std::vector<TaskWork>& work, int workers);

}  // namespace polyhead
