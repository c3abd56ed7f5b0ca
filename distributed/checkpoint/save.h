// Saves a checkpoint: RUN/checkpoints/step-000120/ with one set of safetensors files for the encoder and for each head,
// and state.json. The files are written next to it, synced and hashed, then the folder is renamed; `latest` moves after
// that, and old checkpoints are removed last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "distributed/checkpoint/snapshot.h"
#include "distributed/checkpoint/state.h"
#include "distributed/checkpoint/store.h"

namespace polyhead {

// The outcome of a save, equal on all workers except for the warnings.
struct Saved {
  std::filesystem::path folder;       // of the checkpoint; empty: it could not be saved
  std::string error;                  // then the reason, with the rank
  std::vector<std::string> warnings;  // on rank 0
};

// Saves a checkpoint, and fills in state.files and state.optimizer_steps. Collective; store: used on rank 0. Keeps the
// `keep` newest checkpoints and those that best_pointers() of the state's validation will name. If any worker cannot
// write, the new checkpoint is removed on all of them, and the older ones are kept.
Saved save_checkpoint(CheckpointStore& store, CheckpointState& state, const Model& model, const Optimizers& optimizers,
                      const std::vector<std::size_t>& led, std::int64_t keep, Communicator& world);

}  // namespace polyhead
