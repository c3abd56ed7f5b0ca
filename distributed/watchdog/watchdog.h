// The watchdog of a worker: a thread of its own that tells rank 0's over a side channel what the worker does, and ends
// the process with code 71 when the job hangs. Rank 0's judges (judge.h); where rank 0 is the late one, the first that
// notices speaks. It knows nothing of MPI, and starts before MPI_Init.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "distributed/watchdog/channel.h"
#include "distributed/watchdog/judge.h"

namespace polyhead {

struct WatchdogOptions {
  int rank = 0, size = 1;
  std::string host;               // this worker's
  std::string common_host;        // where all workers run, if the launcher says that it is one; else ""
  std::filesystem::path run_dir;  // reports go to logs/rank-NNNN.log
  std::string job;  // tells this start from others that use the folder: letters that a file's name may have
  WatchLimits limits;
  // The line that names who is late; called once in the whole job (twice where the connection is cut), in the
  // watchdog's thread. The process ends after it.
  std::function<void(const std::string&)> told;
  // The line that names a worker that has ended unexpectedly; once for each. The launcher usually ends the others about
  // a second later; the watchdog does where it does not.
  std::function<void(const std::string&)> lost;
  std::function<void(const std::string&)> warned;
};

class Watchdog {
 public:
  explicit Watchdog(WatchdogOptions options);
  ~Watchdog();  // takes leave: this worker's silence means nothing from now on
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // The world of MPI is there; limits.init no longer holds.
  void joined() { joined_ = true; }

 private:
  void watch();
  void observe(double seconds);
  void hear(const std::vector<Channel::Line>& lines, double seconds);
  void hear_line(WorkerView& worker, const std::string& text);
  void hear_rank_0(WorkerView& first, const std::string& text);
  void hear_worker(WorkerView& worker, const std::string& text);
  void judge_lost();
  void end_after_loss(const std::string& words);
  bool speaks_first();
  void say();
  void judge_workers();
  void judge_rank_0();
  [[noreturn]] void end_job(const HangReport& hang);
  [[noreturn]] void end_with(const std::string& words, const std::vector<int>& kill);
  void end_of_rank_0(const std::string& words);
  void report(const std::string& words) const;
  WorkerState own_state() const;

  WatchdogOptions options_;
  double tick_;
  std::unique_ptr<Channel> channel_;  // null in a world of one, and where rank 0 cannot listen
  std::atomic<bool> joined_{false}, stop_{false};
  std::mutex mutex_;
  std::condition_variable stopping_;
  // The thread's own.
  double since_start_ = 0, since_said_ = 1e9, silent_ = 0;
  std::uint64_t progress_ = 0;
  bool warned_ = false, connected_ = false, losing_ = false;
  long killed_for_memory_ = 0;                // by the kernel of this host, at the start
  std::vector<WorkerView> workers_;           // rank 0: all; others: rank 0 alone
  std::vector<std::pair<int, int>> missing_;  // ranks above 0: {rank, process} of this host that rank 0 misses
  std::string deaf_;  // why there is no channel, to be told once the run has begun; "": it is told, or there is one
  std::thread thread_;
};

}  // namespace polyhead
