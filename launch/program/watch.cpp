// Starts the watchdog of a training run, and writes its reports.
#include "launch/program/watch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <future>
#include <string_view>
#include <thread>

#include "core/base/error.h"
#include "core/base/host.h"
#include "launch/launcher.h"
#include "launch/run_status.h"
#include "launch/signals.h"

namespace polyhead {
namespace {

// Returns ". The same command resumes from …", or "" if the disk does not answer soon, because it may be the cause of
// the hang.
std::string resumes_from(const std::filesystem::path& run_dir) {
  const auto found = std::make_shared<std::promise<std::string>>();
  std::future<std::string> text = found->get_future();
  std::thread([run_dir, found] {
    std::string checkpoint;
    try {
      if (const auto status = read_status(run_dir)) checkpoint = status->last_checkpoint;
    } catch (const Error&) {  // no checkpoint is known
    }
    found->set_value(checkpoint.empty() ? "" : ". The same command resumes from " + checkpoint);
  }).detach();
  return text.wait_for(std::chrono::milliseconds(500)) == std::future_status::ready ? text.get() : "";
}

void tell(const std::filesystem::path& run_dir, const std::string& words) {
  const std::string text = fmt::format("{}{}. Stacks and last collectives of each worker: {}", words,
                                       resumes_from(run_dir), (run_dir / "logs").string());
  std::fputs(fmt::format("{}polyhead train: hang: {}\n", isatty(STDERR_FILENO) == 1 ? "\n" : "", text).c_str(), stderr);
  std::fflush(stderr);
  note_failure(run_dir, static_cast<int>(Exit::hang), text);
}

// Whether another worker has already reported the end of this run, which happens if this worker was stopped and caused
// the end. A report written since this process started belongs to this run; status.json only names the worker that
// wrote it first.
bool failure_is_noted(const std::filesystem::path& run_dir, std::filesystem::file_time_type began) try {
  const auto status = read_status(run_dir);
  std::error_code code;
  const auto written = std::filesystem::last_write_time(run_dir / "status.json", code);
  return status && status->state == "failed" &&
         (status->process.mark == own_process().mark || (!code && written >= began));
} catch (const Error&) {
  return false;
}

void tell_lost(const std::filesystem::path& run_dir, std::filesystem::file_time_type began, const std::string& words) {
  silence_stop_signals();  // because the launcher's SIGTERM follows
  if (failure_is_noted(run_dir, began)) return;
  const std::string resumes = resumes_from(run_dir);
  const std::string text =
      words + (resumes.empty() ? ". No checkpoint had been saved; the same command starts again" : resumes);
  std::fputs(fmt::format("{}polyhead train: {}\n", isatty(STDERR_FILENO) == 1 ? "\n" : "", text).c_str(), stderr);
  std::fflush(stderr);
  note_failure(run_dir, static_cast<int>(Exit::hang), text);
}

}  // namespace

std::unique_ptr<Watchdog> start_watchdog(const Command& command, const std::vector<std::string>& words) {
  if (std::string_view(command.name) != "train") return nullptr;
  WatchdogOptions options;
  try {
    const Config config = parse_options(command.name, command.options, {words.begin() + 1, words.end()});
    if (!config.has("run.run_dir") || config.flag("print-config")) return nullptr;
    options.run_dir = config.path("run.run_dir");
    options.limits = {config.number("run.hang_timeout"), config.number("run.init_timeout")};
  } catch (const Error&) {
    return nullptr;
  }
  const Launcher launcher = find_launcher();
  options.size = launcher.processes;
  options.rank = launcher.rank;
  options.job = launched_job();
  if (options.size == 1) options.rank = 0;
  if (options.rank < 0 || options.rank >= options.size || (options.limits.hang <= 0 && options.limits.init <= 0))
    return nullptr;
  options.host = host_name();
  if (launched_on_one_host()) options.common_host = options.host;
  options.on_hang = [run_dir = options.run_dir](const std::string& line) { tell(run_dir, line); };
  options.on_lost = [run_dir = options.run_dir, began = std::filesystem::file_time_type::clock::now()](
                        const std::string& line) { tell_lost(run_dir, began, line); };
  options.on_warning = [](const std::string& line) {
    std::fputs(fmt::format("polyhead train: warning: {}\n", line).c_str(), stderr);
  };
  return std::make_unique<Watchdog>(std::move(options));
}

}  // namespace polyhead
