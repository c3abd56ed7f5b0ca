// What a checkpoint's state.json says: the model, the step, where sampling and validation stand, and every file's hash.
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
  std::string balancer;                                 // Balancer::state()
  std::vector<int> threads;  // computing threads of every worker, one number where all have the same; empty: not known
  bool evaluation_due = false;               // a signal ended the evaluation after this step, which is to be repeated
  std::map<std::string, std::string> files;  // name -> xxh3-64, 16 hexadecimal digits
};

// The text of state.json. Its last key, state_hash, is the xxh3-64 of the text without that key's line.
std::string to_json(const CheckpointState& state, int workers);
// Reads it strictly: every field within the bounds that the program knows, and state_hash, which checkpoints of earlier
// versions do not have. Throws Error(data) naming `origin` and the field.
CheckpointState checkpoint_state_from_json(const std::string& text, const std::string& origin);

// "step-000120"
std::string checkpoint_name(std::int64_t step);
// The step of a folder that is named so; nothing for any other name, "step-000120.bak" among them.
std::optional<std::int64_t> checkpoint_step(std::string_view name);

// The owners of a model's files: "encoder", then file_stem("head.NAME") of each task.
std::vector<std::string> checkpoint_owners(const ModelDescription& model);

// The endings of an owner's files.
inline constexpr const char* kWeightsFile = ".safetensors";
inline constexpr const char* kOptimizerFile = ".optimizer.safetensors";
inline constexpr const char* kAverageFile = ".ema.safetensors";  // with optimizer.ema

}  // namespace polyhead
