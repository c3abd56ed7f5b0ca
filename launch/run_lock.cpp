// Locks a run folder.
#include "launch/run_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/progress.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

fs::path lock_of(const fs::path& run_dir) {
  return run_dir / "run.lock";
}

double seconds(const timespec& time) {
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Returns nullopt if the file is missing, empty or not a lock.
std::optional<LockOwner> read_owner(const fs::path& file) try {
  const Json json = Json::parse(read_file(file));
  return LockOwner{.process = {json.at("host"), json.at("pid"), json.at("start"), json.at("process")},
                   .token = json.at("token"),
                   .job = json.value("job", ""),
                   .restart = json.value("restart", std::int64_t{0}),
                   .released = json.value("released", false)};
} catch (const std::exception&) {
  return std::nullopt;
}

// Returns the time of the file system, because the clocks of two hosts may differ by more than a heartbeat.
double time_there(const fs::path& folder) {
  const fs::path probe = folder / fmt::format(".run.lock-{}.tmp", getpid());
  const int file = ::open(probe.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  struct stat about = {};
  if (file < 0 || ::fstat(file, &about) != 0) clock_gettime(CLOCK_REALTIME, &about.st_mtim);
  if (file >= 0) ::close(file);
  ::unlink(probe.c_str());
  return seconds(about.st_mtim);
}

std::string new_token() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

}  // namespace

double seconds_since_heartbeat(const fs::path& run_dir) {
  struct stat about = {};
  if (::stat(lock_of(run_dir).c_str(), &about) != 0) return -1;
  return std::max(0.0, time_there(run_dir) - seconds(about.st_mtim));
}

RunLock::RunLock(const fs::path& run_dir, RunLockOptions options)
    : run_dir_(run_dir), file_(lock_of(run_dir)), options_(std::move(options)) {
  std::error_code code;
  fs::create_directories(run_dir, code);
  if (code)
    throw Error(Exit::cannot_write, fmt::format("cannot create the folder {}: {}", run_dir.string(), code.message()));
  own_ = {.process = own_process(), .token = new_token(), .job = options_.job, .restart = options_.restart};
  try {
    while (!try_flock()) {
    }
    judge_owner();
    write_own(false);
  } catch (...) {
    if (descriptor_ >= 0) ::close(descriptor_);
    throw;
  }
  thread_ = std::thread([this] { beat(); });
}

RunLock::~RunLock() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_all();
  thread_.join();
  const auto owner = read_owner(file_);
  if (owner && owner->token == own_.token) try {
      write_own(true);
    } catch (const Error&) {  // the next start finds that this process is gone
    }
  ::close(descriptor_);
}

// Returns false if the file was replaced in the meantime; the caller must try again.
bool RunLock::try_flock() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor_ < 0)
    throw Error(Exit::cannot_write, fmt::format("cannot write {}: {}", file_.string(), std::strerror(errno)));
  // If the file system does not support locks, only the content of the file counts.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    const auto owner = read_owner(file_);
    refuse(owner.value_or(LockOwner{}), owner ? "which holds its lock" : "");
  }
  struct stat ours = {}, there = {};
  return ::fstat(descriptor_, &ours) == 0 && ::stat(file_.c_str(), &there) == 0 && ours.st_ino == there.st_ino;
}

void RunLock::judge_owner() {
  const auto owner = read_owner(file_);
  if (!owner || owner->released) return;
  switch (life_of(owner->process)) {
    case Life::running:
      refuse(*owner, "which is running");
    case Life::gone:
      options_.warn(
          fmt::format("the training before this one did not end properly ({}): it was killed, or its host "
                      "failed",
                      describe(owner->process)));
      return;
    case Life::unknown:
      break;
  }
  if (!owner->job.empty() && owner->job == options_.job && owner->restart < options_.restart) return;
  wait_for_stale(*owner);
}

void RunLock::wait_for_stale(const LockOwner& owner) {
  struct stat first = {}, now = {};
  bool said = false;
  if (::fstat(descriptor_, &first) != 0) return;
  for (;;) {
    const double age = seconds_since_heartbeat(run_dir_);
    if (::stat(file_.c_str(), &now) == 0 && seconds(now.st_mtim) != seconds(first.st_mtim))
      refuse(owner, fmt::format("which has just given a sign of life"));
    if (age < 0 || age >= options_.stale) break;
    if (!std::exchange(said, true))
      options_.warn(
          fmt::format("the run folder {} is held by {}, whose last sign of life was {:.0f} s ago; "
                      "waiting up to {:.0f} s to see whether it still runs",
                      run_dir_.string(), describe(owner.process), age, options_.stale - age));
    note_progress();  // waiting here is not a hang
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(1.0, options_.heartbeat / 2)));
  }
  options_.warn(fmt::format("the training before this one did not end properly ({}): no sign of life for {:.0f} s",
                            describe(owner.process), options_.stale));
}

void RunLock::refuse(const LockOwner& owner, const std::string& seen) const {
  throw Error(
      Exit::config,
      fmt::format("another training is running in the folder {}{}; wait for it, end it, or choose another folder with "
                  "--run-dir",
                  run_dir_.string(),
                  owner.process.pid > 0 ? fmt::format(" ({}, {})", describe(owner.process), seen) : ""));
}

void RunLock::write_own(bool released) {
  const Json json = {{"host", own_.process.host},    {"pid", own_.process.pid}, {"start", own_.process.start},
                     {"process", own_.process.mark}, {"token", own_.token},     {"job", own_.job},
                     {"restart", own_.restart},      {"released", released}};
  const std::string text = json.dump() + "\n";
  // In place, because the lock belongs to this file.
  if (::pwrite(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ::ftruncate(descriptor_, static_cast<off_t>(text.size())) != 0 || ::fsync(descriptor_) != 0)
    throw Error(Exit::cannot_write, fmt::format("cannot write {}: {}", file_.string(), std::strerror(errno)));
}

void RunLock::beat() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::unique_lock lock(mutex_);
  while (!stopping_.wait_for(lock, std::chrono::duration<double>(options_.heartbeat), [this] { return stop_; })) {
    const auto owner = read_owner(file_);
    if (owner && owner->token != own_.token)
      lost_ = true;
    else
      ::futimens(descriptor_, nullptr);
  }
}

bool RunLock::held() const {
  const auto owner = read_owner(file_);
  // A lock file that was removed, for example with the whole folder, is not owned by another training.
  if (owner && owner->token != own_.token) lost_ = true;
  return !lost_;
}

void RunLock::check() const {
  if (!held()) check_lately();
}

void RunLock::check_lately() const {
  if (!lost_) return;
  const auto owner = read_owner(file_);
  throw Error(Exit::cannot_write,
              fmt::format("the run folder {} now belongs to another training{}, which took it over while this one gave "
                          "no sign of life; this one ends, and saves nothing more",
                          run_dir_.string(), owner ? fmt::format(" ({})", describe(owner->process)) : ""));
}

}  // namespace polyhead
