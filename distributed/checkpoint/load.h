// Loads the weights of a checkpoint into a model, on any number of workers and with any placement of the heads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/heads/model.h"
#include "distributed/checkpoint/files.h"
#include "distributed/checkpoint/state.h"
#include "distributed/step/optimizers.h"

namespace polyhead {

// Fills the parameters of the encoder and of the heads that the model has and, if `optimizers` is not null, their
// states. Throws Error(data), which names a file whose hash differs from the one in the state, or a tensor that is
// missing or has the wrong shape.
void load_checkpoint(const CheckpointFiles& files, Model& model, Optimizers* optimizers);
void load_checkpoint(const std::filesystem::path& folder, const CheckpointState& state, Model& model,
                     Optimizers* optimizers);

// Fills the parameters with their moving averages. Throws as load_checkpoint does, and Error(config) if the checkpoint
// has no averages.
void load_average(const CheckpointFiles& files, Model& model);

// Returns xxh3-64 over the hashes of the files that hold the weights (or the averages) of the encoder and of a task's
// head. Throws Error(config) if the checkpoint has no averages.
std::uint64_t weights_hash(const CheckpointState& state, const std::string& task, bool average);

}  // namespace polyhead
