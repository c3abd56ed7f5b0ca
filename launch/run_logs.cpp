// Appends with write(2), undoes incomplete writes, and checks the lines of metrics.jsonl.
#include "launch/run_logs.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "launch/checked_line.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kPending = 16U << 20U;  // bytes
constexpr std::size_t kListed = 8;            // maximum number of ranges of missing steps in a warning

Json numbers(const std::map<std::string, double>& values) {
  Json json = Json::object();
  for (const auto& [name, value] : values) json[name] = value;
  return json;
}

struct Kept {
  std::string text;
  std::size_t damaged = 0;  // lines
  std::vector<std::int64_t> steps;
};

// Returns the lines that a resumed run keeps.
Kept kept_lines(const std::string& text, std::int64_t resumed_step) {
  Kept kept;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // incomplete
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    const Json json = Json::parse(line, nullptr, false);
    if (!whole(line, json)) {
      ++kept.damaged;
      continue;
    }
    const auto step = json["step"].get<std::int64_t>();
    if (step > resumed_step) continue;
    kept.text.append(line).append("\n");
    if (json["kind"] == "step") kept.steps.push_back(step);
  }
  std::ranges::sort(kept.steps);
  return kept;
}

// Returns "3, 7 to 9": the steps from 1 to `last` that are not in `present`, which is sorted; "" if none are missing.
std::string missing_steps(const std::vector<std::int64_t>& present, std::int64_t last) {
  std::string text;
  std::size_t ranges = 0;
  std::int64_t next = 1;
  const auto add = [&](std::int64_t first, std::int64_t end) {
    if (first >= end || ranges++ > kListed) return;
    text += text.empty() ? "" : ", ";
    if (ranges > kListed)
      text += "and more";
    else
      text += first + 1 == end ? std::to_string(first) : fmt::format("{} to {}", first, end - 1);
  };
  for (const std::int64_t step : present) {
    add(next, step);
    next = std::max(next, step + 1);
  }
  add(next, last + 1);
  return text;
}

// Removes the lines that a resumed run does not keep, and reports missing lines.
fs::path cut_metrics(const fs::path& file, std::int64_t resumed_step, const LogFile::Warn& warn) try {
  std::error_code code;
  const std::string text = fs::is_regular_file(file, code) ? read_file(file) : "";
  const Kept kept = kept_lines(text, resumed_step);
  if (resumed_step > 0) {
    const std::string missing = missing_steps(kept.steps, resumed_step);
    if (kept.damaged > 0) write_file_atomically(file.string() + ".damaged", text);
    if (!missing.empty() || kept.damaged > 0)
      warn(
          fmt::format("{} was changed since it was written: {}{}{}. The model is not affected, as it resumes from its "
                      "checkpoint of step {}",
                      file.string(), missing.empty() ? "" : "it has no lines of the steps " + missing,
                      missing.empty() || kept.damaged == 0 ? "" : "; ",
                      kept.damaged == 0 ? ""
                                        : fmt::format("{} damaged lines are dropped, and the file as it was found is "
                                                      "kept as {}.damaged",
                                                      kept.damaged, file.filename().string()),
                      resumed_step));
  }
  if (kept.text.size() != text.size()) write_file_atomically(file, kept.text);
  return file;
} catch (const std::exception& error) {
  warn(fmt::format("{} could not be truncated to step {}: {}", file.string(), resumed_step, error.what()));
  return file;
}

fs::path log_of(const fs::path& run_dir, int rank) {
  std::error_code code;
  fs::create_directories(run_dir / "logs", code);
  return run_dir / "logs" / fmt::format("rank-{:04}.log", rank);
}

}  // namespace

LogFile::LogFile(fs::path file, Warn warn) : file_(std::move(file)), warn_(std::move(warn)) {
  append("");
}

LogFile::~LogFile() {
  append("");
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool LogFile::open() {
  if (descriptor_ < 0) descriptor_ = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  return descriptor_ >= 0;
}

bool LogFile::write_pending() {
  if (!open()) return false;
  const off_t before = ::lseek(descriptor_, 0, SEEK_END);
  for (std::size_t at = 0; at < pending_.size();) {
    const ssize_t done = ::write(descriptor_, pending_.data() + at, pending_.size() - at);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      const int reason = errno;
      if (before < 0 || ::ftruncate(descriptor_, before) != 0) pending_.erase(0, at);  // this part stays in the file
      errno = reason;
      return false;
    }
    at += static_cast<std::size_t>(done);
  }
  pending_.clear();
  return true;
}

void LogFile::append(std::string_view text) noexcept try {
  if (pending_.size() + text.size() <= kPending)
    pending_.append(text);
  else
    lost_ += text.size();
  if (write_pending()) {
    if (failing_)
      warn_(lost_ == 0 ? fmt::format("{} can be written again, and is complete", file_.string())
                       : fmt::format("{} can be written again; {} bytes of it are lost", file_.string(), lost_));
    failing_ = false;
    lost_ = 0;
  } else if (!failing_) {
    failing_ = true;
    warn_(fmt::format("cannot write {}: {}. The run continues; the lines will be written when that is possible again",
                      file_.string(), std::strerror(errno)));
  }
} catch (const std::exception&) {  // out of memory: a run can do without its log
}

void LogFile::sync() noexcept try {
  struct stat about = {};
  if (descriptor_ >= 0 && ::fstat(descriptor_, &about) == 0 && about.st_nlink == 0) {
    ::close(std::exchange(descriptor_, -1));
    warn_(fmt::format("{} was deleted while it was being written; a new one was created", file_.string()));
  }
  append("");
  if (descriptor_ >= 0) ::fsync(descriptor_);
} catch (const std::exception&) {
}

MetricsFile::MetricsFile(const fs::path& file, std::int64_t resumed_step, const LogFile::Warn& warn)
    : log_(cut_metrics(file, resumed_step, warn), warn) {}

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
  if (!step.head_lr.empty()) json["head_lr"] = numbers(step.head_lr);
  if (!step.plain_loss.empty()) json["plain_loss"] = numbers(step.plain_loss);
  if (step.skipped) json["skipped"] = true;
  log_.append(checked(json));
}

void MetricsFile::write_eval(std::int64_t step, const std::string& split, const std::string& task,
                             const std::map<std::string, double>& metrics) {
  log_.append(
      checked({{"kind", "eval"}, {"step", step}, {"split", split}, {"task", task}, {"metrics", numbers(metrics)}}));
}

void MetricsFile::write_finished(std::int64_t step, const std::string& task) {
  log_.append(checked({{"kind", "finished"}, {"step", step}, {"task", task}}));
}

void MetricsFile::write_attention(std::int64_t step, const std::string& split, const AttentionReport& report) {
  Json line = {{"kind", "attention"}, {"step", step}, {"split", split}};
  line.update(Json::parse(to_json(report)));
  log_.append(checked(line));
}

void MetricsFile::write_gradients(std::int64_t step, const std::vector<std::string>& tasks,
                                  const GradientReport& report) {
  Json names = Json::array();
  for (const std::size_t task : report.tasks) names.push_back(tasks.at(task));
  Json json = {{"kind", "gradients"},
               {"step", step},
               {"tasks", names},
               {"norm", report.norms},
               {"cosine", report.cosine},
               {"update_share", report.update_share},
               {"conflict_share", report.conflict_share},
               {"worst_cosine", report.worst_cosine},
               {"condition", report.condition},
               {"sketch", report.sketch},
               {"seconds", report.seconds}};
  if (report.sent > 0) json["sent"] = report.sent;
  log_.append(checked(json));
}

void MetricsFile::write_epochs(std::int64_t step, const std::map<std::string, double>& epochs) {
  log_.append(checked({{"kind", "epochs"}, {"step", step}, {"epochs", numbers(epochs)}}));
}

RankLog::RankLog(const fs::path& run_dir, int rank, LogFile::Warn warn)
    : log_(log_of(run_dir, rank), std::move(warn)) {}

void RankLog::line(const std::string& text) {
  const auto now = std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  log_.append(fmt::format("{:%F %T} {}\n", fmt::localtime(std::chrono::system_clock::to_time_t(now)), text));
}

}  // namespace polyhead
