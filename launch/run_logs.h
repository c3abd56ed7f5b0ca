// The logs of a run: metrics.jsonl and logs/rank-NNNN.log. A log that cannot be written is a warning, never the end of
// a run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "distributed/trainer.h"

namespace polyhead {

// A file that text is appended to, whole writes only. What cannot be written (a full disk) is kept in memory, at most
// 16 MiB, and written as soon as there is room. `warn` hears of it once, and again when the file is complete or has
// lost text.
class LogFile {
 public:
  using Warn = std::function<void(const std::string&)>;
  LogFile(std::filesystem::path file, Warn warn);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Never throws.
  void append(std::string_view text) noexcept;
  // The file survives a power failure; a file that was deleted meanwhile is begun again, with a warning.
  void sync() noexcept;

 private:
  bool open();
  bool write_pending();

  std::filesystem::path file_;
  Warn warn_;
  int descriptor_ = -1;
  std::string pending_;
  std::size_t lost_ = 0;  // bytes
  bool failing_ = false;
};

// metrics.jsonl: one JSON object a line, written line by line. Each line ends in "check", the xxh3-64 of the line
// before it, by which a line that was damaged is found on resuming.
class MetricsFile {
 public:
  // Opens for appending. Lines of later steps than `resumed_step` (0: all lines), damaged lines and a line cut short
  // are dropped first, atomically. `warn` hears which steps have no line and how many lines were damaged, in which case
  // the file as it was found is kept as FILE.damaged. Never throws.
  MetricsFile(const std::filesystem::path& file, std::int64_t resumed_step, LogFile::Warn warn);

  // A number that is not finite is written as null.
  void write(const Observer::Step& step);
  void write_eval(std::int64_t step, const std::string& split, const std::string& task,
                  const std::map<std::string, double>& metrics);
  void write_finished(std::int64_t step, const std::string& task);
  void write_attention(std::int64_t step, const std::string& split, const AttentionReport& report);
  void write_epochs(std::int64_t step, const std::map<std::string, double>& epochs);
  void sync() { log_.sync(); }

 private:
  LogFile log_;
};

// logs/rank-NNNN.log: lines with date and time, appended. Never throws.
class RankLog {
 public:
  RankLog(const std::filesystem::path& run_dir, int rank, LogFile::Warn warn);
  void line(const std::string& text);

 private:
  LogFile log_;
};

}  // namespace polyhead
