// Rank 0's ear: what training reports goes to metrics.jsonl, status.json and the person at the terminal.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "distributed/trainer.h"
#include "launch/progress.h"
#include "launch/run_logs.h"
#include "launch/run_status.h"

namespace polyhead {

class RunObserver : public Observer {
 public:
  // Messages go to `stream` (stderr, in the program), with a bar when it is a terminal. `last_step`: where this start
  // ends, run.steps or run.stop_at.
  RunObserver(std::filesystem::path run_dir, std::int64_t last_step, std::FILE* stream);

  // `check` is called at each step; what it throws ends the run.
  void check_each_step(std::function<void()> check) { check_ = std::move(check); }

  void on_start(const Start& start) override;
  void on_warning(const std::string& message) override { note("warning: " + message); }
  void on_step(const Step& step) override;
  void on_eval(std::int64_t step, const std::string& split, const std::string& task,
               const std::map<std::string, double>& metrics) override;
  void on_finished(std::int64_t step, const std::string& task) override;
  void on_attention(std::int64_t step, const std::string& split, const AttentionReport& report) override;
  void on_epochs(std::int64_t step, const std::map<std::string, double>& epochs) override;
  void on_checkpoint(std::int64_t step, const std::filesystem::path& folder, std::uint64_t parameter_hash) override;

  // The end: writes status.json (done, stopped or preempted) and says so. Returns the exit code: 0, or 75 when
  // preempted.
  int finish(const TrainResult& result);

 private:
  void note(const std::string& text);
  void warn(const std::string& text) { note("warning: " + text); }
  // Where it cannot be written: a warning, once. -> whether it was
  bool write_status_file();

  std::filesystem::path run_dir_;
  std::int64_t last_step_;
  std::FILE* stream_;
  std::function<void()> check_;
  Status status_;
  bool status_known_ = true, status_failing_ = false;
  std::string attention_;          // the newest report, as a table
  double seconds_ = 0, wait_ = 0;  // of the steps of this start
  std::optional<MetricsFile> metrics_;
  std::optional<ProgressDisplay> progress_;
};

}  // namespace polyhead
