// Decides when a training's checkpoint is published: a model that has diverged is never saved, a save that fails is
// repeated at the next checkpoint, and a run folder that was deleted during training is created again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "distributed/checkpoint/save.h"

namespace polyhead {

// What a worker knows when it saves.
struct SaveRequest {
  std::map<std::string, double> losses = {};  // of the tasks that took part in the last step
  int skipped = 0;                            // number of steps up to this one that were skipped as not finite
  bool last = false;                          // no later save follows
  bool preempted = false;                     // `last`, because a signal ended training
};

class CheckpointSaver {
 public:
  using Warn = std::function<void(const std::string&)>;

  // All workers of `world` construct one. warn: called on rank 0; may be empty.
  CheckpointSaver(std::filesystem::path run_dir, std::int64_t keep, Warn warn, Communicator& world);

  // files: names of files in run_dir that the run needs. Those that exist are kept in memory, and written again if they
  // are deleted while training runs.
  void remember(const std::vector<std::string>& files);

  CheckpointStore& store() { return store_; }  // used on rank 0

  // Collective; fills in state.files and state.parameter_hash. Returns the checkpoint's folder; empty if it could not
  // be saved (a warning has said so), or if it must wait for a step that is finite. Throws on all workers:
  // - Error(diverged) if parameters, moments or losses are not finite or are extremely large, or if training ends in
  //   skipped steps;
  // - Error(cannot_write) after three failures in a row. The last save of a training is tried three times.
  std::filesystem::path save(CheckpointState& state, const Model& model, const Optimizers& optimizers,
                             const std::vector<std::size_t>& leads, const SaveRequest& request);

 private:
  void check_run_folder(std::int64_t step);
  std::string newest_whole() const;  // as text, the same on all workers; collective
  void warn(const std::string& text) const {
    if (warn_ && world_.rank() == 0) warn_(text);
  }

  std::filesystem::path run_dir_;
  std::map<std::string, std::string> files_;  // name -> content; on rank 0
  bool metrics_ = false;                      // whether metrics.jsonl existed
  std::int64_t keep_;
  Warn warn_;
  Communicator& world_;
  CheckpointStore store_;
  int failures_ = 0;  // in a row
};

}  // namespace polyhead
