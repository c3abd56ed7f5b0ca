// The logs of a run: metrics.jsonl and logs/rank-NNNN.log. If a log cannot be written, the run prints a warning and
// continues.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "distributed/training/trainer.h"

namespace polyhead {

// A file to which text is appended, in complete writes. Text that cannot be written (a full disk) is kept in memory, up
// to 16 MiB, and written when there is room again. `warn` is called once when writing fails, and again when the file is
// complete or has lost text.
class LogFile {
 public:
  using Warn = std::function<void(const std::string&)>;
  LogFile(std::filesystem::path file, Warn warn);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Never throws.
  void append(std::string_view text) noexcept;
  // Makes the text survive a power failure. A file that was deleted is created again, with a warning.
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

// metrics.jsonl: one JSON object per line. Each line ends in "check", the xxh3-64 of the text before it in the line,
// which reveals damaged lines on resuming.
class MetricsFile {
 public:
  // Opens the file for appending. Never throws.
  // - Before that, lines of steps after `resumed_step` (0: all lines), damaged lines and an incomplete last line are
  //   removed, atomically.
  // - `warn` gets the steps that have no line and the number of damaged lines. If there are damaged lines, the original
  //   file is kept as FILE.damaged.
  MetricsFile(const std::filesystem::path& file, std::int64_t resumed_step, const LogFile::Warn& warn);

  // Numbers that are not finite are written as null.
  void write(const Observer::Step& step);
  void write_eval(std::int64_t step, const std::string& split, const std::string& task,
                  const std::map<std::string, double>& metrics);
  void write_finished(std::int64_t step, const std::string& task);
  void write_attention(std::int64_t step, const std::string& split, const AttentionReport& report);
  void write_gradients(std::int64_t step, const std::vector<std::string>& tasks, const GradientReport& report);
  void write_epochs(std::int64_t step, const std::map<std::string, double>& epochs);
  void sync() { log_.sync(); }

 private:
  LogFile log_;
};

// logs/rank-NNNN.log: lines with date and time are appended. Never throws.
class RankLog {
 public:
  RankLog(const std::filesystem::path& run_dir, int rank, LogFile::Warn warn);
  void line(const std::string& text);

 private:
  LogFile log_;
};

}  // namespace polyhead
