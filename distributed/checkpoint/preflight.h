// What saving will need, tried before the first step, so that a run does not find out at its first checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "distributed/communicator/communicator.h"
#include "distributed/options.h"

namespace polyhead {

// What the checkpoints of a run need of the disk, in bytes, the same on all workers.
struct CheckpointNeeds {
  std::uint64_t checkpoint = 0;    // of one
  std::uint64_t largest_file = 0;  // in it
  std::int64_t count = 2;          // that are there at a time: those kept and the one that is being written
};

// Collective. led: tasks whose heads this worker writes.
CheckpointNeeds checkpoint_needs(const TrainOptions& options, const Model& model, const std::vector<int>& led,
                                 Communicator& world);

// Throws Error(config) on all workers where one of them does not see the run folder of worker 0, for which it waits
// `patience` seconds (network file systems show a file late); Error(cannot_write) where one cannot make, write, sync
// and rename in it, where a file as large as those of a checkpoint may not be written, or where the disk has no room
// for the checkpoints that are not there yet. Collective.
void try_run_folder(const std::filesystem::path& run_dir, const CheckpointNeeds& needs, double patience,
                    const std::string& host, Communicator& world);

// "12.3 MiB"
std::string readable_bytes(std::uint64_t bytes);

}  // namespace polyhead
