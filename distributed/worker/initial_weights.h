// The weights that a new run starts from: those of another run's encoder, and of its heads of the same tasks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "distributed/communicator/communicator.h"
#include "distributed/description/description.h"
#include "distributed/options.h"

namespace polyhead {

// Returns why a task's head cannot start from the weights of `there`; "" if it can. Options such as dropout and label
// smoothing may differ.
std::string why_fresh(const TrainedTask& here, const TrainedTask& there);

// Finds the checkpoint, checks that its encoder has the right shape, and fills in weights.checkpoint (its step), the
// hash and the warnings. `here`: the new run's model. Throws
// - Error(config), which names the key, if the encoder has another shape, the tokenizer is another one, there is no
//   such checkpoint, or it has no averages and they are requested;
// - Error(data) if the checkpoint is damaged.
void resolve_initial_weights(InitialWeights& initial, const ModelDescription& here);

// Throws Error(config) on every worker if they have found different weights. Collective.
void agree_on_initial_weights(const InitialWeights& initial, Communicator& world);

// Copies the weights of the other run into the encoder and the heads of `model`, by the names of tensors. In tables
// with rows for each task (queries, importance, gates), rows are copied by the names of tasks. What the other run does
// not have keeps its initial value. Returns a message about all tasks that says what was copied and what was not.
// Throws Error(config), which names a tensor of another shape, or Error(data) for a damaged file.
std::string load_initial_weights(const InitialWeights& initial, const ModelDescription& here, Model& model);

// Copies the weights of a pretrained model into the encoder. Returns a message that says what was copied and what was
// not. Throws as load_pretrained(), and Error(config) on every worker if they have found different weights. Collective.
std::string load_pretrained_weights(const PretrainedWeights& pretrained, const Arena& encoder, Communicator& world);

}  // namespace polyhead
