// Continues a run from a checkpoint: checks that it is the run's own, and loads it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "distributed/checkpoint/state.h"
#include "distributed/communicator/communicator.h"
#include "distributed/options.h"
#include "distributed/step/optimizers.h"

namespace polyhead {

// Throws Error(data) for the checkpoint of another run, which somebody may have copied into the run folder.
void check_of_this_run(const TrainOptions& options, const CheckpointState& state);

// Loads the checkpoint in `folder` into the parts of the model and the optimizers that this worker holds, and returns
// its state. Collective; led: as in parameter_hash(). warn: called on rank 0. Throws Error(config) when it has made
// more steps than the run has, Error(data) when the loaded parameters are not those that were saved.
CheckpointState load_resumed(const std::string& folder, const TrainOptions& options,
                             const ModelDescription& description, Model& model, Optimizers& optimizers,
                             const std::vector<int>& led, Communicator& world,
                             const std::function<void(const std::string&)>& warn);

}  // namespace polyhead
