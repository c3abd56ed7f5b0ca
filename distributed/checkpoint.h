// Saves and loads checkpoints: RUN/checkpoints/step-000120/ with the encoder once, one file per head, their optimizer
// states and state.json, all safetensors and JSON. Written beside, synced, hashed, renamed; `latest` moves after that,
// older ones go last. Loadable by any number of workers and any placement.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/optimizer/adamw.h"
#include "distributed/checkpoint_files.h"
#include "distributed/checkpoint_state.h"
#include "distributed/checkpoint_store.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

// The optimizers of what a worker holds.
struct Optimizers {
  AdamW encoder;
  std::map<int, AdamW> heads;  // by task
  bool in_parts = false;       // each worker has a part of the encoder's
  // part: of the encoder's arena, where each worker keeps its part; null: all of it
  explicit Optimizers(const Model& model, const OptimizerOptions& options = {}, const Stretch* part = nullptr);
};

// xxh3 over the 8-byte hashes of the encoder, then of the heads by task name. Collective; `leads`: tasks whose head
// this worker answers for (each task has one leader).
std::uint64_t parameter_hash(const Model& model, const ModelDescription& description, const std::vector<int>& leads,
                             Communicator& world);

// How a save ended, equal on all workers but for the warnings, which rank 0 has.
struct Saved {
  std::filesystem::path folder;       // of the checkpoint; empty: it could not be saved
  std::string error;                  // then: why, with the rank
  std::vector<std::string> warnings;  // of what was found on the way
};

// Saves; fills in state.files. Collective; rank 0 answers for the encoder, and holds all of its optimizer state while
// it writes. Keeps the `keep` newest, and that of state.validation.run.step, whose name goes to checkpoints/best.
// store: used on rank 0. Where any worker cannot write, nothing is left of it on any, and the older checkpoints are
// still there.
Saved save_checkpoint(CheckpointStore& store, CheckpointState& state, const Model& model, const Optimizers& optimizers,
                      const std::vector<int>& leads, std::int64_t keep, Communicator& world);

// Fills the parameters of the encoder and of the heads that the model has; with `optimizers` their states too. Throws
// Error(data) naming a file whose hash is not the state's, or the file and its tensor that is missing or does not fit.
void load_checkpoint(const CheckpointFiles& files, Model& model, Optimizers* optimizers);
void load_checkpoint(const std::filesystem::path& folder, const CheckpointState& state, Model& model,
                     Optimizers* optimizers);
// xxh3-64 over the hashes of the two files with the weights, or their averages, of the encoder and of a task's head.
// Throws Error(config) when there are no averages.
std::uint64_t weights_hash(const CheckpointState& state, const std::string& task, bool average);
// Fills the parameters with their moving averages. Throws as load_checkpoint, and Error(config) when none were kept.
void load_average(const CheckpointFiles& files, Model& model);

}  // namespace polyhead
