// The watchdog's thread. It measures time as the sum of its own rounds, each of limited length, so that no hang is
// found after the machine slept or the process was stopped for a while.
#include "distributed/watchdog/watchdog.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/at.h"
#include "core/base/error.h"
#include "core/base/progress.h"
#include "distributed/communicator/timeline.h"
#include "distributed/watchdog/backtraces.h"
#include "distributed/watchdog/process.h"
#include "distributed/watchdog/state_json.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kCode = static_cast<int>(Exit::hang);
constexpr std::size_t kReported = 32;  // collectives in a report
// Seconds after a connection was closed: between two checks; until a worker of another host is reported as ended; until
// the watchdog ends the job if the launcher has not done so.
constexpr double kLostPoll = 0.05, kReportLost = 0.4, kEndLost = 5;

double shortest(const WatchLimits& limits) {
  if (limits.hang <= 0 || limits.init <= 0) return std::max(limits.hang, limits.init);
  return std::min(limits.hang, limits.init);
}

// The worker that creates this file reports the end of rank 0, for all workers that notice it.
fs::path notice_of(const WatchdogOptions& options) {
  return options.run_dir / fmt::format(".watchdog-{}.noticed", options.job);
}

}  // namespace

Watchdog::Watchdog(WatchdogOptions options)
    : options_(std::move(options)), tick_(std::clamp(shortest(options_.limits) / 10, 0.05, 1.0)) {
  prepare_backtraces();
  Timeline::of_process();
  killed_for_memory_ = killed_for_memory();
  std::error_code none;
  if (options_.rank == 0) fs::remove(notice_of(options_), none);  // of an earlier start of the same job
  workers_.resize(options_.rank == 0 ? static_cast<std::size_t>(options_.size) : 1);
  for (int rank = 0; WorkerView & worker : workers_) worker.rank = rank++;
  if (options_.size > 1) {
    try {
      // The channel connects again long before the timeout, so that a short outage is not a hang.
      channel_ =
          std::make_unique<Channel>(options_.rank, options_.size, options_.run_dir / (".watchdog-" + options_.job),
                                    std::clamp(shortest(options_.limits) / 4, 3 * tick_, 5.0));
    } catch (const Error& error) {
      // Usually the run folder cannot be written, which will end the run with its own message.
      no_channel_ = fmt::format("{}; hangs of other workers will not be noticed", error.what());
    }
  }
  thread_ = std::thread([this] {
    try {
      watch();
    } catch (const std::exception& error) {
      options_.on_warning(fmt::format("the watchdog ends: {}; hangs will not be noticed", error.what()));
    }
  });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_all();
  if (channel_) channel_->wake();
  thread_.join();
}

void Watchdog::watch() {
  // The training thread handles the signals that request a save.
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  double last = Timeline::now();
  while (!stop_) {
    std::vector<Channel::Line> lines;
    if (channel_) {
      lines = channel_->wait(has_lost_ ? std::min(tick_, kLostPoll) : tick_);
    } else {
      std::unique_lock lock(mutex_);
      stopping_.wait_for(lock, std::chrono::duration<double>(tick_), [this] { return stop_.load(); });
    }
    if (stop_) break;
    const double now = Timeline::now(), seconds = std::min(now - last, 3 * tick_);
    last = now;
    observe(seconds);
    receive(lines, seconds);
    check_lost();
    if (const bool connected = channel_ && options_.rank > 0 && channel_->connected(0); connected != connected_) {
      connected_ = connected;
      since_sent_ = 1e9;                                                       // send a report to rank 0 at once
      if (connected) workers_[0].started = true, workers_[0].since_heard = 0;  // its answer shows that it runs
    }
    if (since_sent_ < tick_) continue;
    since_sent_ = 0;
    if (joined_ && Timeline::of_process().step() > 0 && !no_channel_.empty())
      options_.on_warning(std::exchange(no_channel_, {}));
    send_state();
    if (options_.rank == 0)
      check_workers();
    else
      check_rank_0();
  }
  if (!channel_) return;
  for (int rank = 0; rank < options_.size; ++rank)
    if (rank != options_.rank) channel_->send(rank, "bye");
}

void Watchdog::observe(double seconds) {
  since_start_ += seconds;
  since_sent_ += seconds;
  const std::uint64_t count = progress_count.load(std::memory_order_relaxed);
  silent_ = count == progress_ ? silent_ + seconds : 0;
  progress_ = count;
}

WorkerState Watchdog::own_state() const {
  const Timeline& timeline = Timeline::of_process();
  const double now = Timeline::now();
  WorkerState state{.pid = getpid(),
                    .host = options_.host,
                    .joined = joined_,
                    .phase = timeline.phase(),
                    .phase_seconds = now - timeline.phase_since(),
                    .silent = silent_,
                    .step = timeline.step()};
  if (const auto inside = timeline.inside())
    state.waiting = Waiting{inside->name, inside->group, inside->number, now - inside->begin};
  for (const TimelineEvent& event : timeline.events())
    if (event.collective) state.calls[event.group] = {event.number, event.name};
  return state;
}

void Watchdog::receive(const std::vector<Channel::Line>& lines, double seconds) {
  for (WorkerView& worker : workers_) {
    worker.since_heard += seconds;
    if (worker.lost >= 0) worker.lost += seconds;
  }
  for (const Channel::Line& line : lines) {
    if (line.from < 0 || std::cmp_greater_equal(line.from, workers_.size())) continue;
    try {
      receive_line(at(workers_, line.from), line.text);
    } catch (const std::exception&) {  // ignore an invalid line
    }
  }
  if (!channel_) return;
  for (const int rank : channel_->closed())
    // If a worker of another host was silent before, the cause is an outage of the network.
    if (WorkerView& worker = at(workers_, rank);
        !worker.ended && worker.started && (worker.state.host == options_.host || worker.since_heard <= 2 * tick_))
      worker.lost = std::max(worker.lost, 0.0);
}

void Watchdog::receive_line(WorkerView& worker, const std::string& text) {
  if (!worker.started && options_.rank == 0) since_sent_ = 1e9;  // send a report to it at once
  worker.since_heard = 0;
  worker.started = true;
  worker.process = 0;
  worker.lost = -1;
  if (text == "bye")
    worker.ended = true;
  else if (options_.rank > 0)
    receive_from_rank_0(worker, text);
  else
    receive_from_worker(worker, text);
}

void Watchdog::receive_from_rank_0(WorkerView& first, const std::string& text) {
  const Json json = Json::parse(text);
  if (json.contains("end")) {
    const std::string words = json["end"];
    const auto kill = json.at("kill").get<std::map<std::string, std::vector<int>>>();
    const auto mine = kill.find(std::to_string(options_.rank));
    end_with(words, mine == kill.end() ? std::vector<int>{} : mine->second);
  }
  first.state = worker_state_from_json(json.at("state"));
  missing_.clear();
  for (const Json& missing : json.at("missing"))
    if (missing.at(2) == options_.host) missing_.emplace_back(missing.at(0), missing.at(1));
}

void Watchdog::receive_from_worker(WorkerView& worker, const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return;  // an early "reported"
  const WorkerState state = worker_state_from_json(json.at("state"));
  // Only the process that sent the first report of a worker may send further ones.
  if (worker.state.pid != 0 && (state.pid != worker.state.pid || state.host != worker.state.host)) return;
  worker.state = state;
  for (const Json& seen : json.at("seen")) {
    WorkerView& other = workers_.at(seen.at(0).get<std::size_t>());
    const auto process = seen.at(1).get<std::string>();
    if (other.since_heard > 0 && other.state.host == worker.state.host && process.size() == 1)
      other.process = process.front();
  }
}

void Watchdog::send_state() {
  const WorkerState own = own_state();
  if (options_.rank > 0) {
    if (!channel_) return;
    Json json = {{"state", to_json(own)}, {"seen", Json::array()}};
    for (const auto& [rank, process] : missing_) json["seen"].push_back({rank, std::string(1, process_state(process))});
    channel_->send(0, line_of(json));
    return;
  }
  workers_[0].state = own;
  workers_[0].started = true;
  workers_[0].since_heard = 0;
  Json json = {{"state", to_json(own)}, {"missing", Json::array()}};
  for (WorkerView& worker : workers_) {
    if (!worker.started || worker.ended || (worker.since_heard < 3 * tick_ && worker.lost < 0)) continue;
    json["missing"].push_back({worker.rank, worker.state.pid, worker.state.host});
    if (worker.state.host == options_.host) worker.process = process_state(worker.state.pid);
  }
  if (!channel_) return;
  for (int rank = 1; rank < options_.size; ++rank) channel_->send(rank, line_of(json));
}

void Watchdog::check_workers() {
  if (!channel_ && options_.size > 1) return;
  workers_[0].since_heard = 0;
  workers_[0].state.silent = silent_;
  if (const auto hang = find_hang(workers_, since_start_, options_.limits, options_.common_host)) end_job(*hang);
  if (warned_ || !joined_ || since_start_ < std::max(30.0, options_.limits.init)) return;
  warned_ = true;
  for (const WorkerView& worker : workers_)
    if (!worker.started)
      options_.on_warning(
          fmt::format("rank {} does not reach the watchdog of rank 0 by TCP: it is not watched", worker.rank));
}

void Watchdog::end_job(const HangReport& hang) {
  end_at_the_latest_after(6);
  // Another worker of its host, which still reports, kills a stopped process.
  std::map<std::string, std::vector<int>> kill;
  for (const int rank : hang.late) {
    const WorkerView& late = at(workers_, rank);
    if (late.process != 'T') continue;
    for (const WorkerView& other : workers_)
      if (other.state.host == late.state.host && other.since_heard < 3 * tick_) {
        kill[std::to_string(other.rank)].push_back(late.state.pid);
        break;
      }
  }
  options_.on_hang(hang.words);
  std::size_t asked = 0;
  for (const WorkerView& worker : workers_) {
    if (worker.rank == 0 || !channel_ || !channel_->connected(worker.rank)) continue;
    channel_->send(worker.rank, line_of({{"end", hang.words}, {"kill", kill}}));
    asked += worker.since_heard < 3 * tick_ ? 1 : 0;
  }
  report(hang.words);
  std::size_t reported = 0;
  for (const double end = Timeline::now() + 2; channel_ && reported < asked && Timeline::now() < end;)
    for (const Channel::Line& line : channel_->wait(0.1)) reported += line.text == "reported" ? 1 : 0;
  kill_soon(kill["0"]);
  channel_.reset();  // this ends the wait of the other workers
  ::_exit(kCode);
}

void Watchdog::end_with(const std::string& words, const std::vector<int>& kill) {
  end_at_the_latest_after(6);
  report(words);
  channel_->send(0, "reported");
  for (const double end = Timeline::now() + 2; channel_->connected(0) && Timeline::now() < end;) channel_->wait(0.1);
  kill_soon(kill);
  ::_exit(kCode);
}

// Checks the workers whose connection was closed without unregistering: they have ended, or connect again at once.
void Watchdog::check_lost() {
  has_lost_ = false;
  // After a worker has unregistered, the others end too: it reported an error, or the job is over.
  if (std::ranges::any_of(workers_, [](const WorkerView& worker) { return worker.ended; })) return;
  for (WorkerView& worker : workers_) {
    if (worker.lost < 0 || worker.rank == options_.rank) continue;
    has_lost_ = true;
    const bool here = worker.state.host == options_.host && worker.state.pid > 1;
    if (here) worker.process = process_state(worker.state.pid);
    const bool gone = worker.process == 'X' || worker.process == 'Z';
    if (here ? !gone : !gone && worker.lost < kReportLost) continue;  // it may connect again
    // All workers are in the same step, and this worker's own step is newer than the last report.
    WorkerView seen = worker;
    seen.state.step = std::max(seen.state.step, Timeline::of_process().step());
    const std::string words =
        describe_lost(seen, static_cast<std::size_t>(options_.size), here && killed_for_memory() > killed_for_memory_);
    if (!std::exchange(worker.reported_lost, true) && reports_first()) options_.on_lost(words);
    if (worker.lost >= (gone ? kEndLost / 2 : kEndLost)) end_after_loss(words);
  }
}

// If rank 0 is lost, all others notice it; the one that creates this file reports it.
bool Watchdog::reports_first() {
  if (options_.rank == 0) return true;
  const fs::path notice = notice_of(options_);
  const int file = ::open(notice.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return errno != EEXIST;
  ::close(file);
  // The others notice at the same time, and the launcher soon ends this process.
  std::thread([notice] {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    std::error_code error;
    fs::remove(notice, error);
  }).detach();
  return true;
}

// Called if the launcher has not ended the other workers, which may be in a collective that will never end.
void Watchdog::end_after_loss(const std::string& words) {
  end_at_the_latest_after(6);
  report(words);
  ::_exit(kCode);
}

void Watchdog::check_rank_0() {
  if (!channel_) return;
  WorkerView& first = workers_[0];
  if (first.ended || first.lost >= 0) return;
  const double timeout = joined_ ? options_.limits.hang : options_.limits.init;
  if (timeout <= 0) return;
  // This is a little later than rank 0 would decide, because rank 0's message is certain to reach the launcher.
  const double limit = timeout + 0.5;
  if (!first.started) {
    if (joined_) {
      if (!warned_ && since_start_ >= std::max(30.0, options_.limits.init))
        options_.on_warning(fmt::format(
            "rank {} does not reach the watchdog of rank 0 ({}): its hangs will not be noticed", options_.rank,
            channel_->tried().empty() ? "it has not written its address into the run folder"
                                      : "by TCP at " + channel_->tried()));
      warned_ = warned_ || since_start_ >= std::max(30.0, options_.limits.init);
      return;
    }
    if (since_start_ < limit) return;
    end_of_rank_0(fmt::format("rank 0 of {} has not started{}: {} for {:.1f} s, while rank {} on {} waits in MPI_Init",
                              options_.size, options_.common_host.empty() ? "" : " on host " + options_.common_host,
                              channel_->tried().empty() ? "it has not written its address to the run folder"
                                                        : "nobody answers at " + channel_->tried(),
                              since_start_, options_.rank, options_.host));
    return;
  }
  if (first.since_heard < limit) return;
  if (first.state.host == options_.host) first.process = process_state(first.state.pid);
  const WorkerState own = own_state();
  std::optional<Waiting> wait = own.waiting;
  if (wait) {
    const auto calls = first.state.calls.find(wait->group);
    if (calls != first.state.calls.end() && calls->second.number > wait->number) wait.reset();
  }
  end_of_rank_0(describe_late(first, static_cast<std::size_t>(options_.size), wait, 1));
}

void Watchdog::end_of_rank_0(const std::string& words) {
  end_at_the_latest_after(6);
  // The worker that creates this file reports.
  const fs::path notice = notice_of(options_);
  std::error_code error;
  fs::create_directories(options_.run_dir, error);
  const int file = ::open(notice.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  const bool speak = file >= 0 || errno != EEXIST;
  if (speak) options_.on_hang(words);
  report(words);
  std::vector<int> kill;
  if (workers_[0].process == 'T') kill = {workers_[0].state.pid};
  // The others notice within a second and must find the file; and the first worker that ends makes the launcher end the
  // one that reports.
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  if (file >= 0) fs::remove(notice, error);
  kill_soon(kill);
  ::_exit(kCode);
}

void Watchdog::report(const std::string& words) const {
  std::error_code error;
  fs::create_directories(options_.run_dir / "logs", error);
  const fs::path path = options_.run_dir / "logs" / fmt::format("rank-{:04}.log", options_.rank);
  std::FILE* file = std::fopen(path.c_str(), "a");
  if (file == nullptr) return;
  const Timeline& timeline = Timeline::of_process();
  const double now = Timeline::now();
  std::string text = fmt::format(
      "{:%F %T} the watchdog ends this worker: {}\nphase {} for {:.1f} s, step {}; {:.1f} s "
      "without progress. Last collectives:\n",
      fmt::localtime(std::time(nullptr)), words, timeline.phase(), now - timeline.phase_since(), timeline.step(),
      silent_);
  std::vector<TimelineEvent> calls = timeline.events();
  std::erase_if(calls, [](const TimelineEvent& event) { return !event.collective; });
  for (std::size_t i = calls.size() - std::min(calls.size(), kReported); i < calls.size(); ++i)
    text += fmt::format("  group {:016x} call {}: {}, {} bytes, entered {:.3f} s ago, {}\n", calls[i].group,
                        calls[i].number, calls[i].name, calls[i].bytes, now - calls[i].begin,
                        calls[i].end > 0 ? fmt::format("left {:.3f} s ago", now - calls[i].end) : "not left");
  std::fputs(text.c_str(), file);
  std::fflush(file);
  std::fputs(("Stacks of all threads:\n" + backtraces()).c_str(), file);
  std::fclose(file);
}

}  // namespace polyhead
