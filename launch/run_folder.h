// A run's folder: config.ini (resolved), run.lock, status.json, metrics.jsonl and logs/rank-NNNN.log (see run_lock.h,
// run_status.h, run_logs.h), and checkpoints/, which the trainer writes.
#pragma once

#include <filesystem>

#include "launch/options.h"

namespace polyhead {

enum class FolderState { fresh, holds_run };

// Checks run.run_dir of a resolved configuration. It writes nothing; call it on a single rank, before any rank writes.
// - fresh: the folder does not exist, is empty, or has only files of a start that ended before the run began.
// - holds_run: it holds a run of the same configuration (its config.ini has equal identity keys). The run resumes from
//   its newest checkpoint or, if it has none, starts again.
// - Throws Error(config) otherwise: for another configuration (naming the keys that differ), for a folder that is not a
//   run, and for any run if run.resume = never.
FolderState check_run_folder(const Config& config);

// Creates the folder if necessary and writes config.ini. Throws Error(cannot_write).
void begin_run_folder(const Config& config);

// Returns the configuration of a finished or interrupted run, for commands that read runs. Throws Error(config) if the
// folder does not hold a run.
Config read_run_config(const std::filesystem::path& run_dir);

}  // namespace polyhead
