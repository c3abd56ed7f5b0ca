// status.json of a run: its current state or how it ended, for scripts and for commands that read runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "launch/process_id.h"

namespace polyhead {

struct Status {
  std::string state = "running";  // running | done | stopped | preempted | failed
  int exit_code = 0;
  std::int64_t step = 0;
  std::string last_checkpoint = {};           // relative to the run folder; "": none yet
  std::string parameter_hash = {};            // 16 hexadecimal digits; "": not known
  std::string error = {};                     // failed: the message that was printed
  std::map<std::string, double> epochs = {};  // done, stopped, preempted: by task
  ProcessId process = {};                     // that of rank 0; not in files of earlier versions
};

// Writes the file atomically, or in place if the disk has no room for a second file. Throws Error(cannot_write).
void write_status(const std::filesystem::path& run_dir, const Status& status);
// Records that an error on any rank ended the run: state failed; step and checkpoint do not change. Never throws,
// because the first error is the one to report.
void note_failure(const std::filesystem::path& run_dir, int exit_code, const std::string& what) noexcept;
// Records that a signal ended the run before there was anything new to save: state preempted, code 75; step and
// checkpoint do not change. Throws Error(cannot_write).
void note_preempted(const std::filesystem::path& run_dir);
// Returns nullopt if there is no file. Throws Error(data) if it cannot be read.
std::optional<Status> read_status(const std::filesystem::path& run_dir);

// Returns a sentence if status.json says "running" but the run does not run any more because it was killed or its host
// failed, or if status.json cannot be read; otherwise "". Never throws.
std::string unfinished(const std::filesystem::path& run_dir) noexcept;

}  // namespace polyhead
