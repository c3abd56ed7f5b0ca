// A run's folder.
#include "launch/run_folder.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

void make_folder(const fs::path& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code)
    throw Error(Exit::cannot_write, fmt::format("cannot make the folder {}: {}", folder.string(), code.message()));
}

std::FILE* open_to_append(const fs::path& file) {
  std::FILE* stream = std::fopen(file.c_str(), "a");
  if (stream == nullptr)
    throw Error(Exit::cannot_write, fmt::format("cannot write {}: {}", file.string(), std::strerror(errno)));
  return stream;
}

Json numbers(const std::map<std::string, double>& values) {
  Json json = Json::object();
  for (const auto& [name, value] : values) json[name] = value;
  return json;
}

// What a start leaves that ended or hung before the run began: its own temporary files, the watchdog's address.
bool left_by_start(const std::string& name) {
  return name == "logs" || name == "status.json" || name.starts_with(".watchdog-") || name.starts_with(".polyhead-") ||
         name.starts_with("config.ini.tmp") || name.starts_with("status.json.tmp");
}

void remove_temporary_files(const fs::path& folder) {
  std::error_code code;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, code))
    if (const std::string name = entry.path().filename().string();
        name.starts_with("config.ini.tmp") || name.starts_with(".polyhead-"))
      fs::remove(entry.path(), code);
}

bool decides_by_valid(const Config& config) {
  return config.has("run.best") || std::ranges::any_of(config.tasks(), [&](const TaskMention& task) {
           return config.integer(fmt::format("task.{}.patience", task.name)) > 0;
         });
}

// The lines that a resumed run keeps.
std::string kept_lines(const std::string& text, std::int64_t resumed_step) {
  std::string kept;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // cut short
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_object() && json.contains("step") && json["step"].is_number_integer() &&
        json["step"].get<std::int64_t>() <= resumed_step)
      kept += line + "\n";
  }
  return kept;
}

}  // namespace

FolderState check_run_folder(const Config& config) {
  const fs::path folder = config.path("run.run_dir");
  std::error_code code;
  if (!fs::exists(folder, code)) return FolderState::fresh;
  if (!fs::is_directory(folder, code))
    throw Error(Exit::config,
                fmt::format("the run folder {} is a file; choose another with --run-dir", folder.string()));
  const fs::directory_iterator entries(folder, code);
  if (code)
    throw Error(Exit::config, fmt::format("cannot look into the run folder {}: {}", folder.string(), code.message()));
  const auto foreign = std::find_if(begin(entries), end(entries), [](const fs::directory_entry& entry) {
    return !left_by_start(entry.path().filename().string());
  });
  const bool begun = fs::exists(folder / "config.ini", code);
  if (!begun && foreign == end(entries)) return FolderState::fresh;
  if (!begun)
    throw Error(Exit::config,
                fmt::format("the folder {} is not empty and holds no run (it has no config.ini, but {}); choose a new "
                            "folder with --run-dir",
                            folder.string(), foreign->path().filename().string()));
  if (config.text("run.resume") == "never")
    throw Error(Exit::config,
                fmt::format("the folder {} holds a run already and run.resume is never ({}); choose another with "
                            "--run-dir, go on with --run.resume auto, or delete the folder to begin anew",
                            folder.string(), config.origin("run.resume")));
  // Where evaluations change what is trained, they are part of what the run is.
  std::vector<std::string> also;
  if (decides_by_valid(config)) also = {"run.eval_every", "run.eval_samples"};
  const std::vector<std::string> differing = read_run_config(folder).differences(config, also);
  if (!differing.empty())
    throw Error(Exit::config,
                fmt::format("the folder {} holds a run of another configuration: {}. Give the same values to go on, or "
                            "choose another folder with --run-dir",
                            folder.string(), fmt::join(differing, "; ")));
  return FolderState::holds_run;
}

RunLock::RunLock(const fs::path& run_dir) {
  make_folder(run_dir);
  descriptor_ = open(run_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor_ >= 0 && flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(descriptor_);
    throw Error(
        Exit::config,
        fmt::format("another training is running in the folder {}; wait for it, end it, or choose another folder with "
                    "--run-dir",
                    run_dir.string()));
  }
}

RunLock::~RunLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

void begin_run_folder(const Config& config) {
  const fs::path folder = config.path("run.run_dir");
  make_folder(folder);
  remove_temporary_files(folder);
  write_file_atomically(folder / "config.ini", config.ini());
}

Config read_run_config(const fs::path& run_dir) {
  std::error_code code;
  if (!fs::exists(run_dir / "config.ini", code))
    throw Error(Exit::config,
                fmt::format("the folder {} holds no run: it has no config.ini; give the folder that polyhead train was "
                            "given as --run-dir",
                            run_dir.string()));
  return read_config(train_options(), run_dir / "config.ini");
}

void write_status(const fs::path& run_dir, const Status& status) {
  Json json = {{"state", status.state},
               {"exit_code", status.exit_code},
               {"step", status.step},
               {"last_checkpoint", status.last_checkpoint},
               {"parameter_hash", status.parameter_hash}};
  if (!status.error.empty()) json["error"] = status.error;
  if (!status.epochs.empty()) json["epochs"] = numbers(status.epochs);
  // An error's text may hold any bytes of a stranger's file.
  write_file_atomically(run_dir / "status.json", json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<Status> read_status(const fs::path& run_dir) {
  const fs::path file = run_dir / "status.json";
  std::error_code code;
  if (!fs::exists(file, code)) return std::nullopt;
  try {
    const Json json = Json::parse(read_file(file));
    return Status{.state = json.at("state"),
                  .exit_code = json.at("exit_code"),
                  .step = json.at("step"),
                  .last_checkpoint = json.at("last_checkpoint"),
                  .parameter_hash = json.at("parameter_hash"),
                  .error = json.value("error", ""),
                  .epochs = json.value("epochs", std::map<std::string, double>{})};
  } catch (const Json::exception& error) {
    throw Error(Exit::data,
                fmt::format("{} is not a run's status: {}; it may be deleted", file.string(), error.what()));
  }
}

void note_failure(const std::filesystem::path& run_dir, int exit_code, const std::string& what) noexcept {
  try {
    Status status = read_status(run_dir).value_or(Status{});
    status.state = "failed";
    status.exit_code = exit_code;
    status.error = what;
    write_status(run_dir, status);
  } catch (const std::exception&) {
  }
}

void note_preempted(const fs::path& run_dir) {
  Status status = read_status(run_dir).value_or(Status{});
  status.state = "preempted";
  status.exit_code = static_cast<int>(Exit::preempted);
  status.error.clear();
  write_status(run_dir, status);
}

MetricsFile::MetricsFile(const fs::path& file, std::int64_t resumed_step) : file_(file) {
  std::error_code code;
  if (fs::exists(file, code)) {
    const std::string text = read_file(file);
    const std::string kept = kept_lines(text, resumed_step);
    if (kept.size() != text.size()) write_file_atomically(file, kept);
  }
  stream_.reset(open_to_append(file));
}

void MetricsFile::write(const Observer::Step& step) {
  Json json = {{"kind", "step"},
               {"step", step.step},
               {"loss", numbers(step.loss)},
               {"weight", numbers(step.weight)},
               {"tokens", step.tokens},
               {"seconds", step.seconds},
               {"wait", step.wait},
               {"ids_hash", to_hex(step.ids_hash)},
               {"lr", step.lr},
               {"gradient_norm", step.gradient_norm}};
  if (step.skipped) json["skipped"] = true;
  write_line(json.dump());
}

void MetricsFile::write_eval(std::int64_t step, const std::string& split, const std::string& task,
                             const std::map<std::string, double>& metrics) {
  write_line(
      Json({{"kind", "eval"}, {"step", step}, {"split", split}, {"task", task}, {"metrics", numbers(metrics)}}).dump());
}

void MetricsFile::write_finished(std::int64_t step, const std::string& task) {
  write_line(Json({{"kind", "finished"}, {"step", step}, {"task", task}}).dump());
}

void MetricsFile::write_attention(std::int64_t step, const std::string& split, const AttentionReport& report) {
  Json line = {{"kind", "attention"}, {"step", step}, {"split", split}};
  line.update(Json::parse(to_json(report)));
  write_line(line.dump());
}

void MetricsFile::write_epochs(std::int64_t step, const std::map<std::string, double>& epochs) {
  write_line(Json({{"kind", "epochs"}, {"step", step}, {"epochs", numbers(epochs)}}).dump());
}

void MetricsFile::write_line(const std::string& line) {
  if (std::fputs((line + "\n").c_str(), stream_.get()) < 0 || std::fflush(stream_.get()) != 0)
    throw Error(Exit::cannot_write, fmt::format("cannot write {}: {}", file_.string(), std::strerror(errno)));
}

RankLog::RankLog(const fs::path& run_dir, int rank) {
  make_folder(run_dir / "logs");
  stream_.reset(open_to_append(run_dir / "logs" / fmt::format("rank-{:04}.log", rank)));
}

void RankLog::line(const std::string& text) {
  const auto now = std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  // A log that cannot be written (a full disk) does not end training; checkpoints say so themselves.
  std::fputs(fmt::format("{:%F %T} {}\n", fmt::localtime(std::chrono::system_clock::to_time_t(now)), text).c_str(),
             stream_.get());
  std::fflush(stream_.get());
}

}  // namespace polyhead
