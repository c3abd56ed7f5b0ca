// Resumes a run from a checkpoint: checks that the checkpoint belongs to the run, and loads it.
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

// Throws Error(data) if the checkpoint is of another run, for example because it was copied into the run folder.
void check_of_this_run(const TrainOptions& options, const CheckpointState& state);

// Loads the checkpoint in `folder` into the parts of the model and the optimizers that this worker holds, and returns
// its state. Collective; led: as in parameter_hash(). warn: called on rank 0. Throws Error(config) if the checkpoint is
// of a later step than the run's last one, Error(data) if the loaded parameters are not those that were saved.
CheckpointState load_resumed(const std::string& folder, const TrainOptions& options,
                             const ModelDescription& description, Model& model, Optimizers& optimizers,
                             const std::vector<std::size_t>& led, Communicator& world,
                             const std::function<void(const std::string&)>& warn);

}  // namespace polyhead
