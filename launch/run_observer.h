// Writes training events to metrics.jsonl, status.json and the terminal (rank 0).
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "distributed/training/trainer.h"
#include "launch/progress.h"
#include "launch/run_logs.h"
#include "launch/run_status.h"

namespace polyhead {

class RunObserver : public Observer {
 public:
  // Messages are written to `stream` (stderr in the program), with a progress bar if it is a terminal. last_step: the
  // last step of this start, run.steps or run.stop_at.
  RunObserver(std::filesystem::path run_dir, std::int64_t last_step, std::FILE* stream);

  // `check` is called after each step; the run ends if it throws.
  void check_each_step(std::function<void()> check) { check_ = std::move(check); }

  void on_start(const Start& start) override;
  void on_warning(const std::string& message) override { note("warning: " + message); }
  void on_step(const Step& step) override;
  void on_eval(std::int64_t step, const std::string& split, const std::string& task,
               const std::map<std::string, double>& metrics) override;
  void on_finished(std::int64_t step, const std::string& task) override;
  void on_attention(std::int64_t step, const std::string& split, const AttentionReport& report) override;
  void on_gradients(std::int64_t step, const std::vector<std::string>& tasks, const GradientReport& report) override;
  void on_epochs(std::int64_t step, const std::map<std::string, double>& epochs) override;
  void on_checkpoint(std::int64_t step, const std::filesystem::path& folder, std::uint64_t parameter_hash) override;

  // Ends the run: writes status.json (done, stopped or preempted) and reports it. Returns the exit code: 0, or 75 if
  // preempted.
  int finish(const TrainResult& result);

 private:
  void note(const std::string& text);
  void warn(const std::string& text) { note("warning: " + text); }
  // Returns whether the file was written. If it was not, a warning is printed once.
  bool write_status_file();

  std::filesystem::path run_dir_;
  std::int64_t last_step_;
  std::FILE* stream_;
  std::function<void()> check_;
  Status status_;
  bool status_known_ = true, status_failing_ = false;
  std::string attention_;          // latest report, as a table
  double seconds_ = 0, wait_ = 0;  // of the steps since this start
  std::optional<MetricsFile> metrics_;
  std::optional<ProgressDisplay> progress_;
};

}  // namespace polyhead
