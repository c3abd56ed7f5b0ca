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

// Why a task's head cannot take the weights of `there`; "" when it can. Dropout, smoothing and the like may differ.
std::string why_fresh(const TrainedTask& here, const TrainedTask& there);

// Finds the checkpoint, whose step becomes weights.checkpoint, checks that its encoder fits, and fills in the hash and
// the warnings. `here`: the new run's model. Throws Error(config) naming the key when the encoder has another shape or
// the tokenizer is another, when there is no such checkpoint, and when no averages were kept; Error(data) when the
// checkpoint is damaged.
void resolve_initial_weights(InitialWeights& initial, const ModelDescription& here);

// Throws Error(config) on every worker when they have found different weights. Collective.
void agree_on_initial_weights(const InitialWeights& initial, Communicator& world);

// Fills the encoder and the heads that `model` holds and the other run has, by the tensors' names; of the tables with
// rows for each task (queries, importance, gates) the rows by the tasks' names. What the other run lacks keeps its
// starting value. -> what was taken and what starts fresh, of all tasks, for a person. Throws Error(config) naming a
// tensor of another shape, Error(data) for a damaged file.
std::string load_initial_weights(const InitialWeights& initial, const ModelDescription& here, Model& model);

}  // namespace polyhead
