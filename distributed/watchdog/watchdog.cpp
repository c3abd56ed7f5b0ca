// The watchdog's thread. Ages are summed from its own rounds, each counted as a few at most: a machine that slept, or a
// process that was stopped for a while, does not wake to a hang.
#include "distributed/watchdog/watchdog.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/progress.h"
#include "distributed/communicator/timeline.h"
#include "distributed/watchdog/backtraces.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kCode = static_cast<int>(Exit::hang);
constexpr std::size_t kReported = 32;  // collectives in a report

double shortest(const WatchLimits& limits) {
  if (limits.hang <= 0 || limits.init <= 0) return std::max(limits.hang, limits.init);
  return std::min(limits.hang, limits.init);
}

Json to_json(const WorkerState& state) {
  Json json = {{"pid", state.pid},          {"host", state.host},     {"joined", state.joined}, {"phase", state.phase},
               {"in", state.phase_seconds}, {"silent", state.silent}, {"step", state.step}};
  if (state.waiting)
    json["waiting"] = {state.waiting->name, state.waiting->group, state.waiting->number, state.waiting->seconds};
  json["calls"] = Json::array();
  for (const auto& [group, call] : state.calls) json["calls"].push_back({group, call.number, call.name});
  return json;
}

// One line. A name that was cut within a letter of UTF-8 is no error.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

WorkerState from_json(const Json& json) {
  WorkerState state{.pid = json.at("pid"),
                    .host = json.at("host"),
                    .joined = json.at("joined"),
                    .phase = json.at("phase"),
                    .phase_seconds = json.at("in"),
                    .silent = json.at("silent"),
                    .step = json.at("step")};
  if (json.contains("waiting")) {
    const Json& waiting = json["waiting"];
    state.waiting = Waiting{waiting.at(0), waiting.at(1), waiting.at(2), waiting.at(3)};
  }
  for (const Json& call : json.at("calls")) state.calls[call.at(0)] = {call.at(1), call.at(2)};
  return state;
}

void on_alarm(int) {
  ::_exit(kCode);
}

// A report may go to a file system that hangs too.
void end_at_the_latest_after(unsigned seconds) {
  struct sigaction action = {};
  action.sa_handler = on_alarm;
  sigemptyset(&action.sa_mask);
  sigaction(SIGALRM, &action, nullptr);
  alarm(seconds);
}

// SIGKILL for stopped processes of this host, which answer nothing else; a little later and from a process of its own,
// so that the launcher first learns of code 71. Most launchers have killed them by then.
void kill_soon(const std::vector<int>& processes) {
  if (processes.empty()) return;
  // Not fork(): its handlers take locks that a stuck thread may hold.
  if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) != 0) return;
  setsid();
  syscall(SYS_close_range, 0, ~0U, 0);  // the launcher waits for the end of our output
  const timespec pause{2, 0};
  nanosleep(&pause, nullptr);
  for (const int process : processes) kill(process, SIGKILL);
  ::_exit(0);
}

}  // namespace

Watchdog::Watchdog(WatchdogOptions options)
    : options_(std::move(options)), tick_(std::clamp(shortest(options_.limits) / 10, 0.05, 1.0)) {
  prepare_backtraces();
  Timeline::of_process();
  workers_.resize(options_.rank == 0 ? static_cast<std::size_t>(options_.size) : 1);
  for (std::size_t rank = 0; rank < workers_.size(); ++rank) workers_[rank].rank = static_cast<int>(rank);
  if (options_.size > 1) {
    try {
      // A short outage is no hang: a connection that lost it is made anew long before the timeout.
      channel_ =
          std::make_unique<Channel>(options_.rank, options_.size, options_.run_dir / (".watchdog-" + options_.job),
                                    std::clamp(shortest(options_.limits) / 4, 3 * tick_, 5.0));
    } catch (const Error& error) {
      // Most often the run folder cannot be written, which ends the run with words of its own.
      deaf_ = fmt::format("{}; hangs of other workers will not be noticed", error.what());
    }
  }
  thread_ = std::thread([this] {
    try {
      watch();
    } catch (const std::exception& error) {
      options_.warned(fmt::format("the watchdog ends: {}; hangs will not be noticed", error.what()));
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
  // Signals that ask the run to save are the training thread's.
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  double last = Timeline::now();
  while (!stop_) {
    std::vector<Channel::Line> lines;
    if (channel_) {
      lines = channel_->wait(tick_);
    } else {
      std::unique_lock lock(mutex_);
      stopping_.wait_for(lock, std::chrono::duration<double>(tick_), [this] { return stop_.load(); });
    }
    if (stop_) break;
    const double now = Timeline::now(), seconds = std::min(now - last, 3 * tick_);
    last = now;
    observe(seconds);
    hear(lines, seconds);
    if (const bool connected = channel_ && options_.rank > 0 && channel_->connected(0); connected != connected_) {
      connected_ = connected;
      since_said_ = 1e9;                                                   // rank 0 hears of it at once
      if (connected) workers_[0].started = true, workers_[0].unheard = 0;  // its welcome was a sign of life
    }
    if (since_said_ < tick_) continue;
    since_said_ = 0;
    if (joined_ && Timeline::of_process().step() > 0 && !deaf_.empty()) options_.warned(std::exchange(deaf_, {}));
    say();
    if (options_.rank == 0)
      judge_workers();
    else
      judge_rank_0();
  }
  if (!channel_) return;
  for (int rank = 0; rank < options_.size; ++rank)
    if (rank != options_.rank) channel_->send(rank, "bye");
}

void Watchdog::observe(double seconds) {
  since_start_ += seconds;
  since_said_ += seconds;
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

void Watchdog::hear(const std::vector<Channel::Line>& lines, double seconds) {
  for (WorkerView& worker : workers_) worker.unheard += seconds;
  for (const Channel::Line& line : lines) {
    if (static_cast<std::size_t>(line.from) >= workers_.size()) continue;
    WorkerView& worker = workers_[static_cast<std::size_t>(line.from)];
    worker.unheard = 0;
    worker.started = true;
    worker.process = 0;
    if (line.text == "bye") {
      worker.ended = true;
      continue;
    }
    const Json json = Json::parse(line.text, nullptr, false);
    if (!json.is_object()) continue;  // an early "reported"
    if (options_.rank > 0 && json.contains("end"))
      end_with(json["end"],
               json.at("kill").get<std::map<std::string, std::vector<int>>>()[std::to_string(options_.rank)]);
    worker.state = from_json(json.at("state"));
    if (options_.rank > 0) {
      missing_.clear();
      for (const Json& missing : json.at("missing"))
        if (missing.at(2) == options_.host) missing_.emplace_back(missing.at(0), missing.at(1));
    } else {
      for (const Json& seen : json.at("seen"))
        if (WorkerView& other = workers_.at(seen.at(0)); other.unheard > 0)
          other.process = seen.at(1).get<std::string>().front();
    }
  }
}

void Watchdog::say() {
  const WorkerState own = own_state();
  if (options_.rank > 0) {
    if (!channel_) return;
    Json json = {{"state", to_json(own)}, {"seen", Json::array()}};
    for (const auto& [rank, process] : missing_) json["seen"].push_back({rank, std::string(1, process_state(process))});
    channel_->send(0, text_of(json));
    return;
  }
  workers_[0].state = own;
  workers_[0].started = true;
  workers_[0].unheard = 0;
  Json json = {{"state", to_json(own)}, {"missing", Json::array()}};
  for (WorkerView& worker : workers_) {
    if (!worker.started || worker.ended || worker.unheard < 3 * tick_) continue;
    json["missing"].push_back({worker.rank, worker.state.pid, worker.state.host});
    if (worker.state.host == options_.host) worker.process = process_state(worker.state.pid);
  }
  if (!channel_) return;
  for (int rank = 1; rank < options_.size; ++rank) channel_->send(rank, text_of(json));
}

void Watchdog::judge_workers() {
  if (!channel_ && options_.size > 1) return;
  workers_[0].unheard = 0;
  workers_[0].state.silent = silent_;
  if (const auto verdict = judge(workers_, since_start_, options_.limits, options_.common_host)) end_job(*verdict);
  if (warned_ || !joined_ || since_start_ < std::max(30.0, options_.limits.init)) return;
  warned_ = true;
  for (const WorkerView& worker : workers_)
    if (!worker.started)
      options_.warned(
          fmt::format("rank {} does not reach the watchdog of rank 0 by TCP: it is not watched", worker.rank));
}

void Watchdog::end_job(const Verdict& verdict) {
  end_at_the_latest_after(6);
  // A stopped process is killed by a worker of its host that is well.
  std::map<std::string, std::vector<int>> kill;
  for (const int rank : verdict.late) {
    const WorkerView& late = workers_[static_cast<std::size_t>(rank)];
    if (late.process != 'T') continue;
    for (const WorkerView& other : workers_)
      if (other.state.host == late.state.host && other.unheard < 3 * tick_) {
        kill[std::to_string(other.rank)].push_back(late.state.pid);
        break;
      }
  }
  options_.told(verdict.words);
  std::size_t asked = 0;
  for (const WorkerView& worker : workers_) {
    if (worker.rank == 0 || !channel_ || !channel_->connected(worker.rank)) continue;
    channel_->send(worker.rank, text_of({{"end", verdict.words}, {"kill", kill}}));
    asked += worker.unheard < 3 * tick_ ? 1 : 0;
  }
  report(verdict.words);
  std::size_t reported = 0;
  for (const double end = Timeline::now() + 2; channel_ && reported < asked && Timeline::now() < end;)
    for (const Channel::Line& line : channel_->wait(0.1)) reported += line.text == "reported" ? 1 : 0;
  kill_soon(kill["0"]);
  channel_.reset();  // the others leave now
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

void Watchdog::judge_rank_0() {
  if (!channel_) return;
  WorkerView& first = workers_[0];
  if (first.ended) return;
  const double timeout = joined_ ? options_.limits.hang : options_.limits.init;
  if (timeout <= 0) return;
  // A little later than rank 0 would judge: its line is the one that surely reaches the launcher.
  const double limit = timeout + 0.5;
  if (!first.started) {
    if (joined_) {
      if (!warned_ && since_start_ >= std::max(30.0, options_.limits.init))
        options_.warned(fmt::format(
            "rank {} does not reach the watchdog of rank 0 ({}): hangs of it will not be noticed", options_.rank,
            channel_->tried().empty() ? "it wrote no address into the run folder" : "by TCP at " + channel_->tried()));
      warned_ = warned_ || since_start_ >= std::max(30.0, options_.limits.init);
      return;
    }
    if (since_start_ < limit) return;
    end_of_rank_0(fmt::format("rank 0 of {} has not started{}: {} for {:.1f} s, while rank {} on {} waits in MPI_Init",
                              options_.size, options_.common_host.empty() ? "" : " on host " + options_.common_host,
                              channel_->tried().empty() ? "it has written no address into the run folder"
                                                        : "nobody answers at " + channel_->tried(),
                              since_start_, options_.rank, options_.host));
    return;
  }
  if (first.unheard < limit) return;
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
  // The one that makes this file speaks.
  const fs::path notice = options_.run_dir / fmt::format(".watchdog-{}.noticed", options_.job);
  std::error_code error;
  fs::create_directories(options_.run_dir, error);
  const int file = ::open(notice.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  const bool speak = file >= 0 || errno != EEXIST;
  if (speak) options_.told(words);
  report(words);
  std::vector<int> kill;
  if (workers_[0].process == 'T') kill = {workers_[0].state.pid};
  // The others notice within a second and have to find the file; and the first to leave ends the one that speaks.
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
