// Checks before the first step that checkpoints can be saved, so that a run does not fail at its first one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "distributed/communicator/communicator.h"
#include "distributed/options.h"

namespace polyhead {

// The disk space that the checkpoints of a run need, in bytes. The same on all workers.
struct CheckpointNeeds {
  std::uint64_t checkpoint = 0;    // size of one checkpoint
  std::uint64_t largest_file = 0;  // size of its largest file
  std::int64_t count = 2;          // checkpoints on the disk at a time: those kept, and the one being written
};

// Collective. led: tasks whose heads this worker writes.
CheckpointNeeds checkpoint_needs(const TrainOptions& options, const Model& model, const std::vector<std::size_t>& led,
                                 Communicator& world);

// Collective. Throws on all workers:
// - Error(config) if a worker does not see the run folder of worker 0 within `patience` seconds (a network file system
//   may show a new file late);
// - Error(cannot_write) if a worker cannot create, write, sync and rename a file in it, if the limit on a file's size
//   is below that of a checkpoint's files, or if the disk has no room for the checkpoints that are still to come.
void try_run_folder(const std::filesystem::path& run_dir, const CheckpointNeeds& needs, double patience,
                    const std::string& host, Communicator& world);

// "12.3 MiB"
std::string readable_bytes(std::uint64_t bytes);

}  // namespace polyhead
