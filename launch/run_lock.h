// Keeps two trainings out of one run folder, on one host or on several.
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
  double heartbeat = 5;          // seconds between two signs of life
  double stale = kStaleSeconds;  // seconds
  std::string job = {};          // the scheduler's job, which runs once at a time; "": none
  std::int64_t restart = 0;      // how often the scheduler has started it again
  std::function<void(const std::string&)> warn = [](const std::string&) {};
};

// What run.lock says of its owner.
struct LockOwner {
  ProcessId process;
  std::string token;  // of this start: two starts have different ones
  std::string job = {};
  std::int64_t restart = 0;
  bool released = false;
};

// Holds RUN/run.lock while it lives:
//  - by flock(), which excludes other processes of this host, and of others where the file system does that;
//  - by what the file says: host, process and start of the owner, which refreshes its time of change as a sign of life.
// A lock whose owner is gone is taken over: at once when it is of this host, or of an earlier start of the same job;
// otherwise when it has given no sign of life for `stale` seconds, for which the constructor waits.
class RunLock {
 public:
  // Creates the folder where needed. Throws Error(config) naming the owner when another training holds the lock, and
  // Error(cannot_write).
  explicit RunLock(const std::filesystem::path& run_dir, RunLockOptions options = {});
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  const std::string& token() const { return own_.token; }
  // Throws Error(cannot_write) when another training has taken the lock over, as it does when this one was without a
  // sign of life. Reads the file again; to be called before something is published in the folder.
  void check() const;
  // Whether check() would not throw.
  bool held() const;
  // The same from what was read last, `heartbeat` seconds ago at most; takes nanoseconds.
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

// Seconds since the owner of RUN/run.lock gave a sign of life, by the clock of the file system; negative when there is
// no lock.
double seconds_since_heartbeat(const std::filesystem::path& run_dir);

}  // namespace polyhead
