// Writes training events to the files of a run and to the terminal.
#include "launch/run_observer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/text.h"
#include "launch/table.h"

namespace polyhead {

RunObserver::RunObserver(std::filesystem::path run_dir, std::int64_t last_step, std::FILE* stream)
    : run_dir_(std::move(run_dir)), last_step_(last_step), stream_(stream) {
  try {
    if (const auto before = read_status(run_dir_))
      status_ = *before;  // keeps the name of the last checkpoint while the run continues
  } catch (const Error& error) {
    status_known_ = false;
    warn(fmt::format("{}. The run does not need it, and writes a new one", error.what()));
  }
  status_.process = own_process();
  status_.state = "running";
  status_.exit_code = 0;
  status_.error.clear();
  status_.epochs.clear();
}

void RunObserver::on_start(const Start& start) {
  status_.step = start.first_step - 1;
  if (start.first_step == 1)
    status_.last_checkpoint = status_.parameter_hash = "";
  else if (!status_known_)
    status_.last_checkpoint = fmt::format("checkpoints/step-{:06}", status_.step);
  write_status_file();
  metrics_.emplace(run_dir_ / "metrics.jsonl", start.first_step - 1, [this](const std::string& text) { warn(text); });
  std::int64_t heads = 0;
  for (const auto& [task, parameters] : start.head_parameters) heads += parameters;
  const std::size_t tasks = start.head_parameters.size();
  note(fmt::format("{} {}, {} {}; encoder {} parameters, heads {}", start.workers,
                   start.workers == 1 ? "worker" : "workers", tasks, tasks == 1 ? "task" : "tasks",
                   with_commas(start.encoder_parameters), with_commas(heads)));
  if (!start.origin.empty()) note(start.origin);
  if (!start.placement.empty()) note(start.placement);
  if (!start.mixture.empty()) note(start.mixture);
  if (!start.valid.empty()) note(start.valid);
  if (start.first_step > 1) note(fmt::format("resuming after step {}", start.first_step - 1));
  progress_.emplace(stream_, isatty(fileno(stream_)) == 1, start.first_step, last_step_);
}

void RunObserver::on_step(const Step& step) {
  if (check_) check_();
  metrics_->write(step);
  status_.step = step.step;
  seconds_ += step.seconds;
  wait_ += step.wait;
  if (step.skipped) note(fmt::format("step {}: the loss or gradient is not finite; no update", step.step));
  const double now = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  progress_->step(step.step, step.loss, step.plain_loss, step.tokens, now);
}

void RunObserver::on_eval(std::int64_t step, const std::string& split, const std::string& task,
                          const std::map<std::string, double>& metrics) {
  metrics_->write_eval(step, split, task, metrics);
  std::string text = fmt::format("step {}  {} {}:", step, split, task);
  for (const auto& [name, value] : metrics) text += fmt::format("  {} {:.4g}", name, value);
  note(text);
}

void RunObserver::on_finished(std::int64_t step, const std::string& task) {
  metrics_->write_finished(step, task);
  note(fmt::format("step {}  {} is finished: its head is frozen, its data leave the mixture", step, task));
}

void RunObserver::on_attention(std::int64_t step, const std::string& split, const AttentionReport& report) {
  metrics_->write_attention(step, split, report);
  attention_ = fmt::format("task attention on {} after step {}:\n{}", split, step, format_attention(report));
}

void RunObserver::on_gradients(std::int64_t step, const std::vector<std::string>& tasks, const GradientReport& report) {
  metrics_->write_gradients(step, tasks, report);
}

void RunObserver::on_epochs(std::int64_t step, const std::map<std::string, double>& epochs) {
  metrics_->write_epochs(step, epochs);
}

void RunObserver::on_checkpoint(std::int64_t step, const std::filesystem::path& folder, std::uint64_t parameter_hash) {
  status_.step = step;
  status_.last_checkpoint = folder.lexically_relative(run_dir_).string();
  status_.parameter_hash = to_hex(parameter_hash);
  if (metrics_) metrics_->sync();
  write_status_file();
}

int RunObserver::finish(const TrainResult& result) {
  status_.state = result.ending == Ending::done ? "done" : result.ending == Ending::stopped ? "stopped" : "preempted";
  status_.exit_code = static_cast<int>(result.ending == Ending::preempted ? Exit::preempted : Exit::done);
  status_.step = result.step;
  status_.parameter_hash = result.step > 0 ? to_hex(result.parameter_hash) : "";
  status_.epochs = result.epochs;
  const bool written = write_status_file();
  const char* said = result.ending == Ending::done      ? "done"
                     : result.ending == Ending::stopped ? "stopped at run.stop_at"
                     : result.step > 0                  ? "stopped by a signal, saved"
                                                        : "stopped by a signal";
  if (!attention_.empty()) note(attention_);
  std::string epochs;
  for (const auto& [task, taken] : result.epochs)
    epochs += fmt::format("{} {} {:.2f}", epochs.empty() ? "epochs:" : ",", task, taken);
  if (!epochs.empty()) note(epochs);
  for (const auto& [value, step] : result.best_steps)
    note(fmt::format("the best checkpoint by {} is that of step {}", value, step));
  if (result.best_step > 0 && result.best_steps.empty())
    note(fmt::format("the best checkpoint is that of step {}", result.best_step));
  note(fmt::format("waited for data for {:.2f} of {:.1f} s", wait_, seconds_));
  note(fmt::format("{} after step {}{}", said, result.step,
                   result.ending != Ending::done ? "; the same command resumes from here"
                   : result.why.empty()          ? ""
                                                 : ": " + result.why));
  progress_.reset();
  if (metrics_) metrics_->sync();
  return written ? status_.exit_code : static_cast<int>(Exit::cannot_write);
}

bool RunObserver::write_status_file() {
  try {
    write_status(run_dir_, status_);
    status_failing_ = false;
    return true;
  } catch (const Error& error) {
    if (!std::exchange(status_failing_, true))
      warn(fmt::format("{}. The run continues, but status.json is out of date", error.what()));
    return false;
  }
}

void RunObserver::note(const std::string& text) {
  if (progress_)
    progress_->note(text);
  else
    std::fprintf(stream_, "%s\n", text.c_str());
}

}  // namespace polyhead
