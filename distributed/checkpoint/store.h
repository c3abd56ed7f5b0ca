// A run's folder of checkpoints, RUN/checkpoints: finds checkpoints, publishes new ones and removes old ones. Only
// directories that are named "step-" and a number are checkpoints, and only files that the program wrote are removed.
// A checkpoint is whole if it verifies.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "distributed/checkpoint/files.h"

namespace polyhead {

// Returns the checkpoint folders of a run, newest first, without links.
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

// Returns the newest checkpoint that verifies; null if there is no checkpoint. Damaged ones are skipped and named in
// `warnings`. Throws Error(data) if all are damaged. If the training that writes the checkpoints removes one during the
// search, the search is repeated.
std::unique_ptr<FoundCheckpoint> find_checkpoint(const std::filesystem::path& run_dir,
                                                 std::vector<std::string>& warnings);

// Returns the checkpoint with this name: "latest" (as find_checkpoint), "best", "best:TASK", "best:TASK:METRIC" or
// "best:mean" (if run.best has several values), or the number of a step; null if there is no checkpoint. Throws
// Error(config) if there is no checkpoint of this name, Error(data) if it is damaged.
std::unique_ptr<FoundCheckpoint> choose_checkpoint(const std::filesystem::path& run_dir, const std::string& which,
                                                   std::vector<std::string>& warnings);

// Returns one sentence for each of `latest`, `best` and `best-VALUE` that exists and names a checkpoint that does not.
std::vector<std::string> dangling_names(const std::filesystem::path& run_dir);

// To be called before training. Throws Error(cannot_write) if RUN/checkpoints is not a folder, or if `latest`, `best`
// or `best-VALUE` in it is not a file that can be replaced. They need not exist.
void check_checkpoint_folder(const std::filesystem::path& run_dir);

// The only writer of a run's checkpoints, on rank 0 of the training that holds the run folder.
class CheckpointStore {
 public:
  explicit CheckpointStore(std::filesystem::path run_dir);

  // The same as find_checkpoint. `fits` throws Error(data) for a checkpoint that is whole but belongs to another run;
  // it is skipped too. Damaged checkpoints that are newer than the result are renamed to step-NNNNNN.damaged and named
  // in `warnings`.
  std::unique_ptr<FoundCheckpoint> find(const std::function<void(const CheckpointState&)>& fits,
                                        std::vector<std::string>& warnings);

  // Creates an empty temporary folder in which the checkpoint of a step is written, and removes those that earlier
  // saves left incomplete. Throws Error(cannot_write).
  std::filesystem::path begin(std::int64_t step);
  // Removes a temporary folder after a failure.
  void discard(const std::filesystem::path& beside) noexcept;
  // Publishes the checkpoint that was written in a temporary folder:
  // - syncs the folder and renames it to the checkpoint of that step;
  // - makes `latest` name it, and each file of `best` (best_pointers()) the checkpoint of its step (0: none) if that is
  //   whole;
  // - removes old checkpoints, except the `keep` newest whole ones and those that these files name.
  // Throws Error(cannot_write) if the checkpoint is not published. Later failures are added to `warnings`.
  std::filesystem::path publish(const std::filesystem::path& beside, std::int64_t step,
                                const std::map<std::string, std::int64_t>& best, std::int64_t keep,
                                std::vector<std::string>& warnings);

  // Returns the names of checkpoints that were whole and have since disappeared; each is returned once.
  std::vector<std::string> lost();
  bool holds(std::int64_t step) const;
  // Returns the newest checkpoint that is known to be whole; empty: none.
  std::filesystem::path newest_whole() const;

 private:
  void note_whole(const FoundCheckpoint& checkpoint);
  bool known_whole(const std::filesystem::path& folder) const;
  void point_to_best(const std::string& pointer, std::int64_t step);
  void purge(std::int64_t keep, std::vector<std::string>& warnings);
  void remove(const std::filesystem::path& folder, std::vector<std::string>& warnings);

  std::filesystem::path run_dir_, parent_;
  std::map<std::int64_t, CheckpointSignature> whole_;  // by step
  std::set<std::string> told_;                         // warnings that are given once
};

}  // namespace polyhead
