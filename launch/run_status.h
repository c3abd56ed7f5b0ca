// status.json of a run: how it stands or has ended, for scripts and for the commands that read a run.
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
  std::string error = {};                     // failed: what was printed
  std::map<std::string, double> epochs = {};  // done, stopped, preempted: of each task
  ProcessId process = {};                     // rank 0's; files of earlier versions have none
};

// Atomic; where the disk has no room for a second file, written over the first. Throws Error(cannot_write).
void write_status(const std::filesystem::path& run_dir, const Status& status);
// The end by an error, from any rank: state failed, step and checkpoint as they were. Never throws: the first error is
// the one to report.
void note_failure(const std::filesystem::path& run_dir, int exit_code, const std::string& what) noexcept;
// The end by a signal before there was anything new to save: state preempted, code 75, step and checkpoint as they
// were. Throws Error(cannot_write).
void note_preempted(const std::filesystem::path& run_dir);
// nullopt when there is none; throws Error(data) when it is not readable.
std::optional<Status> read_status(const std::filesystem::path& run_dir);

// A sentence where status.json says "running" but the run does not: it was killed, or its host failed; or where it is
// not readable. "" otherwise. Never throws.
std::string unfinished(const std::filesystem::path& run_dir) noexcept;

}  // namespace polyhead
