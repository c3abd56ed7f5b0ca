// A run's folder: config.ini (resolved), run.lock, status.json, metrics.jsonl and logs/rank-NNNN.log (run_lock.h,
// run_status.h, run_logs.h), and checkpoints/, which the trainer fills.
#pragma once

#include <filesystem>

#include "launch/options.h"

namespace polyhead {

enum class FolderState { fresh, holds_run };

// Looks at run.run_dir: it does not exist or is empty (fresh), or holds a run of the same configuration (identity keys
// equal to its config.ini's), which goes on from its newest checkpoint or, without one, from the start. Otherwise
// throws Error(config): another configuration (with the differing keys), a folder that is no run, or any run under
// run.resume = never. `config` is resolved. Writes nothing; ask on one rank only, before any rank writes.
FolderState check_run_folder(const Config& config);

// Creates the folder where needed and writes config.ini; throws Error(cannot_write).
void begin_run_folder(const Config& config);

// A finished or interrupted run's configuration, for the commands that read it; throws Error(config) when the folder
// holds no run.
Config read_run_config(const std::filesystem::path& run_dir);

}  // namespace polyhead
