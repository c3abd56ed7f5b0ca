// Prevents two trainings from using the same run folder, on one host or on several.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "launch/process_id.h"

namespace polyhead {

// A lock without a sign of life for this long is stale.
constexpr double kStaleSeconds = 60;

struct RunLockOptions {
  double heartbeat = 5;          // seconds between signs of life
  double stale = kStaleSeconds;  // seconds
  std::string job = {};          // the scheduler's job, of which only one instance runs at a time; "": none
  std::int64_t restart = 0;      // number of times that the scheduler has restarted it
  std::function<void(const std::string&)> warn = [](const std::string&) {};
};

// The owner that run.lock names.
struct LockOwner {
  ProcessId process;
  std::string token;  // identifies this start: no two starts have the same token
  std::string job = {};
  std::int64_t restart = 0;
  bool released = false;
};

// Holds RUN/run.lock for its lifetime.
// - flock() excludes other processes of this host, and of other hosts if the file system supports that.
// - The file names host, process and start of the owner, which updates the file's modification time as a sign of life.
// - A lock whose owner is gone is taken over: at once if the owner was on this host or is an earlier start of the same
//   job; otherwise after `stale` seconds without a sign of life, for which the constructor waits.
class RunLock {
 public:
  // Creates the folder if necessary. Throws Error(config), which names the owner, if another training holds the lock,
  // and Error(cannot_write).
  explicit RunLock(const std::filesystem::path& run_dir, RunLockOptions options = {});
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  const std::string& token() const { return own_.token; }
  // Throws Error(cannot_write) if another training has taken over the lock because this one gave no sign of life. It
  // reads the file again; call it before something is published in the folder.
  void check() const;
  // Whether check() would succeed.
  bool held() const;
  // The same as check(), from the last reading of the file, at most `heartbeat` seconds ago. It takes nanoseconds.
  void check_lately() const;

 private:
  bool try_flock();
  void judge_owner();
  void wait_for_stale(const LockOwner& owner);
  void write_own(bool released);
  void beat();
  [[noreturn]] void refuse(const LockOwner& owner, const std::string& seen) const;

  std::filesystem::path run_dir_, file_;
  RunLockOptions options_;
  LockOwner own_;
  int descriptor_ = -1;
  mutable std::atomic<bool> lost_{false};
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  std::thread thread_;
};

// Returns the seconds since the owner of RUN/run.lock gave a sign of life, by the clock of the file system; negative if
// there is no lock.
double seconds_since_heartbeat(const std::filesystem::path& run_dir);

}  // namespace polyhead
