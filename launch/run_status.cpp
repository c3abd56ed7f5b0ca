// Writes and reads status.json.
#include "launch/run_status.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "launch/run_lock.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// File systems allocate whole blocks, so content smaller than a block fits even if the disk is full.
constexpr std::size_t kBlock = 4096;

bool write_over(const fs::path& file, const std::string& text) {
  const int out = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (out < 0) return false;
  const bool done = ::pwrite(out, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
                    ::ftruncate(out, static_cast<off_t>(text.size())) == 0;
  ::close(out);
  return done;
}

std::string text_of(const Status& status, std::size_t error_bytes) {
  Json json = {{"state", status.state},
               {"exit_code", status.exit_code},
               {"step", status.step},
               {"last_checkpoint", status.last_checkpoint},
               {"parameter_hash", status.parameter_hash}};
  if (status.process.pid > 0) {
    json["host"] = status.process.host;
    json["pid"] = status.process.pid;
    json["start"] = status.process.start;
    json["process"] = status.process.mark;
  }
  if (!status.error.empty()) json["error"] = status.error.substr(0, error_bytes);
  if (!status.epochs.empty()) {
    json["epochs"] = Json::object();
    for (const auto& [task, epochs] : status.epochs) json["epochs"][task] = epochs;
  }
  // The text of an error may contain arbitrary bytes of a file.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

void write_status(const fs::path& run_dir, const Status& status) {
  const fs::path file = run_dir / "status.json";
  try {
    write_file_atomically(file, text_of(status, std::string::npos));
  } catch (const Error&) {
    std::string text = text_of(status, kBlock / 8);
    if (text.size() > kBlock) {
      Status shorter = status;
      shorter.epochs.clear();
      text = text_of(shorter, kBlock / 8);
    }
    if (!write_over(file, text)) throw;
  }
}

std::optional<Status> read_status(const fs::path& run_dir) {
  const fs::path file = run_dir / "status.json";
  std::error_code code;
  if (!fs::exists(file, code)) return std::nullopt;
  try {
    const Json json = Json::parse(read_file(file));
    return Status{
        .state = json.at("state"),
        .exit_code = json.at("exit_code"),
        .step = json.at("step"),
        .last_checkpoint = json.at("last_checkpoint"),
        .parameter_hash = json.at("parameter_hash"),
        .error = json.value("error", ""),
        .epochs = json.value("epochs", std::map<std::string, double>{}),
        .process = {json.value("host", ""), json.value("pid", 0), json.value("start", ""), json.value("process", "")}};
  } catch (const Json::exception& error) {
    throw Error(Exit::data,
                fmt::format("{} is not a run's status: {}; it can be deleted", file.string(), error.what()));
  }
}

void note_failure(const fs::path& run_dir, int exit_code, const std::string& what) noexcept try {
  Status status;
  try {
    status = read_status(run_dir).value_or(status);
  } catch (const Error&) {  // a damaged one is replaced
  }
  status.state = "failed";
  status.exit_code = exit_code;
  status.error = what;
  write_status(run_dir, status);
} catch (const std::exception&) {
}

void note_preempted(const fs::path& run_dir) {
  Status status;
  try {
    status = read_status(run_dir).value_or(status);
  } catch (const Error&) {  // a damaged one is replaced
  }
  status.state = "preempted";
  status.exit_code = static_cast<int>(Exit::preempted);
  status.error.clear();
  write_status(run_dir, status);
}

std::string unfinished(const fs::path& run_dir) noexcept try {
  const auto status = read_status(run_dir);
  if (!status || status->state != "running" || status->process.pid <= 0) return "";
  std::string seen;
  switch (life_of(status->process)) {
    case Life::running:
      return "";
    case Life::gone:
      seen = "no longer there";
      break;
    case Life::unknown:
      const double silent = seconds_since_heartbeat(run_dir);
      if (silent >= 0 && silent < kStaleSeconds) return "";
      seen = silent < 0 ? "on another host, and the folder has no run.lock of it"
                        : fmt::format("on another host, and has given no sign of life for {:.0f} s", silent);
  }
  return fmt::format(
      "the training of the run {} was killed, or its host failed: status.json says that it is running, "
      "but {}, is {}. {}; the same polyhead train command resumes it",
      run_dir.string(), describe(status->process), seen,
      status->last_checkpoint.empty()
          ? "It had saved no checkpoint"
          : fmt::format("Its last checkpoint is {} (step {})", status->last_checkpoint, status->step));
} catch (const Error& error) {
  return error.what();
} catch (const std::exception&) {
  return "";
}

}  // namespace polyhead
