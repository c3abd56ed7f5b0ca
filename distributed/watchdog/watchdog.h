// The watchdog of a worker: a separate thread that reports to rank 0's watchdog what the worker does, and ends the
// process with code 71 if the job hangs. Rank 0's watchdog decides who is late (hang.h). If rank 0 itself is late, the
// first other watchdog that notices decides. It does not use MPI, and starts before MPI_Init.
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
#include "distributed/watchdog/hang.h"

namespace polyhead {

struct WatchdogOptions {
  int rank = 0, size = 1;
  std::string host;               // this worker's
  std::string common_host;        // the host of all workers, if the launcher says that they share one; otherwise ""
  std::filesystem::path run_dir;  // reports go to logs/rank-NNNN.log
  std::string job;                // identifies this start among others in the same folder; part of a file's name
  WatchLimits limits;
  // Called with the line that names who is late: once in the whole job (twice if a connection is cut), in the
  // watchdog's thread. The process ends afterwards.
  std::function<void(const std::string&)> on_hang;
  // Called once for each worker that has ended unexpectedly, with a line that names it. The launcher usually ends the
  // other workers about a second later; otherwise the watchdog does.
  std::function<void(const std::string&)> on_lost;
  std::function<void(const std::string&)> on_warning;
};

class Watchdog {
 public:
  explicit Watchdog(WatchdogOptions options);
  ~Watchdog();  // unregisters this worker: no more reports of it are expected
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // To be called when MPI is initialised: limits.init no longer applies.
  void joined() { joined_ = true; }

 private:
  void watch();
  void observe(double seconds);
  void receive(const std::vector<Channel::Line>& lines, double seconds);
  void receive_line(WorkerView& worker, const std::string& text);
  void receive_from_rank_0(WorkerView& first, const std::string& text);
  void receive_from_worker(WorkerView& worker, const std::string& text);
  void check_lost();
  void end_after_loss(const std::string& words);
  bool reports_first();
  void send_state();
  void check_workers();
  void check_rank_0();
  [[noreturn]] void end_job(const HangReport& hang);
  [[noreturn]] void end_with(const std::string& words, const std::vector<int>& kill);
  void end_of_rank_0(const std::string& words);
  void report(const std::string& words) const;
  WorkerState own_state() const;

  WatchdogOptions options_;
  double tick_;
  std::unique_ptr<Channel> channel_;  // null in a world of one, and if rank 0 cannot listen
  std::atomic<bool> joined_{false}, stop_{false};
  std::mutex mutex_;
  std::condition_variable stopping_;
  // Used by the watchdog's thread only.
  double since_start_ = 0, since_sent_ = 1e9, silent_ = 0;
  std::uint64_t progress_ = 0;
  bool warned_ = false, connected_ = false, has_lost_ = false;
  long killed_for_memory_ = 0;                // processes that this host's kernel had killed for memory at the start
  std::vector<WorkerView> workers_;           // rank 0: all; others: rank 0 alone
  std::vector<std::pair<int, int>> missing_;  // on ranks above 0: {rank, pid} on this host that rank 0 has no report of
  std::string no_channel_;  // why there is no channel, reported when training starts; "": nothing to report
  std::thread thread_;
};

}  // namespace polyhead
