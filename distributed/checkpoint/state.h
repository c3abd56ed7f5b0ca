// The content of a checkpoint's state.json: the model, the step, the state of sampling and validation, and every file's
// hash.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/sampling/mixture.h"
#include "distributed/description/description.h"
#include "distributed/evaluation/early_stopping.h"
#include "distributed/step/balance_state.h"

namespace polyhead {

struct CheckpointState {
  ModelDescription model;
  std::int64_t step = 0;
  std::uint64_t ids_hash = 0;
  std::uint64_t parameter_hash = 0;
  std::vector<MixtureEntry> mixture;
  ValidationState validation;
  std::map<std::string, std::int64_t> optimizer_steps;  // "encoder", "head.NAME"
  std::map<std::string, std::string> fingerprint;       // see distributed/checkpoint/fingerprint.h
  BalanceState balance;
  std::vector<int> threads;  // computing threads of every worker, or one number if all have the same; empty: not known
  bool evaluation_due = false;               // a signal ended the evaluation after this step; it must be repeated
  std::map<std::string, std::string> files;  // name -> xxh3-64, 16 hexadecimal digits
};

// Returns the text of state.json. Its last key, state_hash, is the xxh3-64 of the text without that key's line.
std::string to_json(const CheckpointState& state, int workers);
// Parses the text and checks it: every field must be within its bounds, and state_hash must match (checkpoints of
// earlier versions do not have it). Throws Error(data), which names `origin` and the field.
CheckpointState checkpoint_state_from_json(const std::string& text, const std::string& origin);

// Returns the names of the files in RUN/checkpoints that name the best checkpoints, and their steps: "best", and for
// several values of run.best also "best-VALUE" of each.
std::map<std::string, std::int64_t> best_pointers(const ValidationState& state);

// "step-000120"
std::string checkpoint_name(std::int64_t step);
// Returns the step of a folder with such a name; nullopt for any other name, such as "step-000120.bak".
std::optional<std::int64_t> checkpoint_step(std::string_view name);

// The owners of a model's files: "encoder", then file_stem("head.NAME") of each task.
std::vector<std::string> checkpoint_owners(const ModelDescription& model);

// The endings of an owner's files.
inline constexpr const char* kWeightsFile = ".safetensors";
inline constexpr const char* kOptimizerFile = ".optimizer.safetensors";
inline constexpr const char* kAverageFile = ".ema.safetensors";     // with optimizer.ema
inline constexpr const char* kBufferFile = ".balance.safetensors";  // of a task, with a balancer that keeps buffers

}  // namespace polyhead
