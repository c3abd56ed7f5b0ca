// A run's folder of checkpoints, RUN/checkpoints: which there are, which of them are whole, how one is published, and
// which are taken away. Only directories that are named "step-" and a number are checkpoints, and of these only what
// the program wrote is ever removed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "distributed/checkpoint_files.h"

namespace polyhead {

// Checkpoint folders of a run, newest first; links are left out.
std::vector<std::filesystem::path> checkpoints(const std::filesystem::path& run_dir);

// Size in bytes, time of change and inode of each file of a checkpoint, by name. While they are the same, a checkpoint
// that was whole counts as whole.
using CheckpointSignature = std::map<std::string, std::vector<std::int64_t>>;

struct FoundCheckpoint {
  std::filesystem::path folder;
  CheckpointState state;
  std::shared_ptr<const CheckpointFiles> files;
  CheckpointSignature signature;  // from before the files were read, so that every later change shows
};

// The newest checkpoint that verifies; null when there is none at all. Damaged ones are named in `warnings` and passed
// over; throws Error(data) when all are damaged. One that is taken away meanwhile by the training that writes them is
// looked for again.
std::unique_ptr<FoundCheckpoint> find_checkpoint(const std::filesystem::path& run_dir,
                                                 std::vector<std::string>& warnings);

// The checkpoint that a person names: "latest" (as find_checkpoint), "best", or a step's number; null when there is
// none at all. Throws Error(config) when there is no such checkpoint, Error(data) when it is damaged.
std::unique_ptr<FoundCheckpoint> choose_checkpoint(const std::filesystem::path& run_dir, const std::string& which,
                                                   std::vector<std::string>& warnings);

// What `latest` and `best` name, if they are there, and is not there: one sentence for each.
std::vector<std::string> dangling_names(const std::filesystem::path& run_dir);

// Before training: throws Error(cannot_write) where RUN/checkpoints, or `latest` or `best` in it, is of a kind that no
// checkpoint can be written over. What is not there is fine.
void check_checkpoint_folder(const std::filesystem::path& run_dir);

// The one writer of a run's checkpoints, on rank 0 of a training that has the run folder for itself.
class CheckpointStore {
 public:
  explicit CheckpointStore(std::filesystem::path run_dir);

  // As find_checkpoint. `fits` throws Error(data) for a checkpoint that is whole but not of this run, which is passed
  // over too. Newer ones that are damaged are renamed to step-NNNNNN.damaged, so that they count no more; each is named
  // in `warnings`.
  std::unique_ptr<FoundCheckpoint> find(const std::function<void(const CheckpointState&)>& fits,
                                        std::vector<std::string>& warnings);

  // An empty folder beside, to write the checkpoint of a step into. What earlier saves left half-written is removed.
  // Throws Error(cannot_write).
  std::filesystem::path begin(std::int64_t step);
  // Removes such a folder after a failure.
  void discard(const std::filesystem::path& beside) noexcept;
  // Syncs the folder, renames it to the checkpoint of that step, and points `latest` to it, and `best` to the
  // checkpoint of best_step (0: none) if that is whole. Then the oldest are removed but for the `keep` newest that are
  // whole and those that `latest` and `best` name. Throws Error(cannot_write) when the checkpoint is not published;
  // what fails after that is said in `warnings`.
  std::filesystem::path publish(const std::filesystem::path& beside, std::int64_t step, std::int64_t best_step,
                                std::int64_t keep, std::vector<std::string>& warnings);

  // Checkpoints that this object knew as whole and that are there no more, by name; each is named once.
  std::vector<std::string> lost();
  bool holds(std::int64_t step) const;
  // The newest that is known to be whole; empty: none.
  std::filesystem::path newest_whole() const;

 private:
  void note_whole(const FoundCheckpoint& checkpoint);
  bool known_whole(const std::filesystem::path& folder) const;
  void point_to_best(std::int64_t step);
  void purge(std::int64_t keep, std::vector<std::string>& warnings);
  void remove(const std::filesystem::path& folder, std::vector<std::string>& warnings);

  std::filesystem::path run_dir_, parent_;
  std::map<std::int64_t, CheckpointSignature> whole_;  // by step
  std::set<std::string> told_;                         // warnings that are given once
};

}  // namespace polyhead
