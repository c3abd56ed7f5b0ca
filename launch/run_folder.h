// A run's folder: config.ini (resolved), metrics.jsonl, status.json, logs/rank-NNNN.log, and checkpoints/, which the
// trainer fills.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "distributed/trainer.h"
#include "launch/options.h"

namespace polyhead {

enum class FolderState { fresh, holds_run };

// Looks at run.run_dir: it does not exist, is empty or has only what a start leaves that ended early (fresh), or holds
// a run of the same configuration (identity keys equal to its config.ini's), which goes on from its newest checkpoint
// or, without one, from the start. Otherwise throws Error(config): another configuration (with the differing keys), a
// folder that is no run, or any run under run.resume = never. `config` is resolved. Writes nothing; ask on one rank
// only, before any rank writes.
FolderState check_run_folder(const Config& config);

// Keeps other trainings out of the folder, which it creates where needed, as long as it lives: a lock (flock) on the
// folder itself. Throws Error(config) when another training holds it; a file system without locks is let pass.
class RunLock {
 public:
  explicit RunLock(const std::filesystem::path& run_dir);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_;
};

// Creates the folder where needed and writes config.ini; throws Error(cannot_write).
void begin_run_folder(const Config& config);

// A finished or interrupted run's configuration, for the commands that read it; throws Error(config) when the folder
// holds no run.
Config read_run_config(const std::filesystem::path& run_dir);

// What status.json says.
struct Status {
  std::string state = "running";  // running | done | stopped | preempted | failed
  int exit_code = 0;
  std::int64_t step = 0;
  std::string last_checkpoint;                // relative to the run folder; "": none yet
  std::string parameter_hash;                 // 16 hexadecimal digits; "": not known
  std::string error;                          // failed: what was printed
  std::map<std::string, double> epochs = {};  // done, stopped, preempted: of each task
};
// Atomic; throws Error(cannot_write).
void write_status(const std::filesystem::path& run_dir, const Status& status);
// The end by an error, from any rank: state failed, step and checkpoint as they were. Never throws: the first error is
// the one to report.
void note_failure(const std::filesystem::path& run_dir, int exit_code, const std::string& what) noexcept;
// The end by a signal before there was anything new to save: state preempted, code 75, step and checkpoint as they
// were. Throws Error(cannot_write).
void note_preempted(const std::filesystem::path& run_dir);
// nullopt when there is none; throws Error(data) when it is not readable.
std::optional<Status> read_status(const std::filesystem::path& run_dir);

// metrics.jsonl: one JSON object a line, flushed line by line.
class MetricsFile {
 public:
  // Opens for appending. Lines of later steps than `resumed_step` (0: all lines), and a line cut short, are dropped
  // first, atomically. Throws Error(cannot_write).
  MetricsFile(const std::filesystem::path& file, std::int64_t resumed_step);

  // A number that is not finite is written as null.
  void write(const Observer::Step& step);
  void write_eval(std::int64_t step, const std::string& split, const std::string& task,
                  const std::map<std::string, double>& metrics);
  void write_finished(std::int64_t step, const std::string& task);
  void write_attention(std::int64_t step, const std::string& split, const AttentionReport& report);
  void write_epochs(std::int64_t step, const std::map<std::string, double>& epochs);

 private:
  void write_line(const std::string& line);

  struct Close {
    void operator()(std::FILE* stream) const { std::fclose(stream); }
  };
  std::filesystem::path file_;
  std::unique_ptr<std::FILE, Close> stream_;
};

// logs/rank-NNNN.log: lines with date and time, appended and flushed.
class RankLog {
 public:
  RankLog(const std::filesystem::path& run_dir, int rank);
  void line(const std::string& text);

 private:
  struct Close {
    void operator()(std::FILE* stream) const { std::fclose(stream); }
  };
  std::unique_ptr<std::FILE, Close> stream_;
};

}  // namespace polyhead
