// Checkpoints: RUN/checkpoints/step-000120/ with the encoder once, one file per head, their optimizer states and
// state.json, all safetensors and JSON. Written beside, synced, hashed, renamed; `latest` moves after that, older ones
// go last. Loadable by any number of workers and any placement.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/optimizer/adamw.h"
#include "datasets/mixture.h"
#include "distributed/communicator/communicator.h"
#include "distributed/description.h"
#include "distributed/validation.h"

namespace polyhead {

struct CheckpointState {
  ModelDescription model;
  std::int64_t step = 0;
  std::uint64_t ids_hash = 0;
  std::uint64_t parameter_hash = 0;
  std::vector<MixtureEntry> mixture;
  ValidationState validation;
  std::map<std::string, std::int64_t> optimizer_steps;  // "encoder", "head.NAME"
  std::map<std::string, std::string> fingerprint;       // see distributed/reproducible.h
  std::vector<int> threads;  // computing threads of every worker, one number where all have the same; empty: not known
  bool evaluation_due = false;               // a signal ended the evaluation after this step, which is to be repeated
  std::map<std::string, std::string> files;  // name -> xxh3-64, 16 hexadecimal digits
};

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

// Saves; fills in state.files. Collective; rank 0 answers for the encoder, and holds all of its
// optimizer state while it writes. Keeps the `keep` newest, and that of
// state.validation.run.step, whose name goes to checkpoints/best. -> the checkpoint's folder. Throws
// Error(cannot_write); then the older checkpoints are still there.
std::filesystem::path save_checkpoint(const std::filesystem::path& run_dir, CheckpointState& state, const Model& model,
                                      const Optimizers& optimizers, const std::vector<int>& leads, std::int64_t keep,
                                      Communicator& world);

// Checkpoint folders of a run, newest first.
std::vector<std::filesystem::path> checkpoints(const std::filesystem::path& run_dir);
// Reads state.json; throws Error(data) naming the file.
CheckpointState read_checkpoint_state(const std::filesystem::path& folder);
// The same, and compares every file's hash.
CheckpointState verify_checkpoint(const std::filesystem::path& folder);
// The newest checkpoint that verifies; null when there is none at all. Damaged ones are named in `warnings` and passed
// over; throws Error(data) when all are damaged.
struct FoundCheckpoint {
  std::filesystem::path folder;
  CheckpointState state;
};
std::unique_ptr<FoundCheckpoint> find_checkpoint(const std::filesystem::path& run_dir,
                                                 std::vector<std::string>& warnings);

// The checkpoint that a person names: "latest" (as find_checkpoint), "best", or a step's number; null when there is
// none at all. Throws Error(config) when there is no such checkpoint, Error(data) when it is damaged.
std::unique_ptr<FoundCheckpoint> choose_checkpoint(const std::filesystem::path& run_dir, const std::string& which,
                                                   std::vector<std::string>& warnings);

// Fills the parameters of the encoder and of the heads that the model has; with `optimizers` their states too. Throws
// Error(data) naming a file whose hash is not the state's, or the file and its tensor that is missing or does not fit.
void load_checkpoint(const std::filesystem::path& folder, const CheckpointState& state, Model& model,
                     Optimizers* optimizers);
// xxh3-64 over the hashes of the two files with the weights, or their averages, of the encoder and of a task's head.
// Throws Error(config) when there are no averages.
std::uint64_t weights_hash(const CheckpointState& state, const std::string& task, bool average);
// Fills the parameters with their moving averages. Throws as load_checkpoint, and Error(config) when none were kept.
void load_average(const std::filesystem::path& folder, const CheckpointState& state, Model& model);

}  // namespace polyhead
