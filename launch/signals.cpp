// Handles signals that ask a run to save and end, and the signal of a mapped file that became shorter.
#include "launch/signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

#include "core/base/error.h"
#include "datasets/file_pool.h"

namespace polyhead {
namespace {

struct StopSignal {
  int number;
  const char* name;
  const char* warning;  // what happens if the signal is repeated; "": nothing
};
constexpr std::array kStopSignals = {
    StopSignal{SIGINT, "SIGINT", "; a second Ctrl-C ends it at once, without saving"},
    StopSignal{SIGTERM, "SIGTERM", "; a third SIGTERM ends it at once, without saving"},
    StopSignal{SIGUSR1, "SIGUSR1", ""},
    StopSignal{SIGHUP, "SIGHUP", ""},
};

// Initialized at compile time, because a signal may arrive before constructors run.
constinit std::atomic<int> g_first{0};  // the first signal
constinit std::atomic<bool> g_requested{false}, g_said{false};
constinit std::atomic<int> g_terminated{0}, g_interrupted{0};
// Child processes and their signals; 0: a free place.
constinit std::array<std::atomic<int>, kMostChildren> g_children{}, g_child_signals{};
// Complete lines that are written to stderr at the first signal, indexed as kStopSignals.
constinit std::array<std::atomic<const char*>, kStopSignals.size()> g_lines{};
std::function<void(const std::string&)> g_report;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
              std::atomic<const char*>::is_always_lock_free);

// Async-signal-safe.
void say_once(int signal) {
  for (std::size_t i = 0; i < kStopSignals.size(); ++i) {
    const char* line = g_lines[i];
    if (kStopSignals[i].number != signal || line == nullptr || g_said.exchange(true)) continue;
    if (::write(STDERR_FILENO, line, std::strlen(line)) < 0) continue;  // stderr is closed
  }
}

// Async-signal-safe.
void on_signal(int signal) {
  const int before = errno;
  int none = 0;
  g_first.compare_exchange_strong(none, signal);
  g_requested = true;
  say_once(signal);
  // Not at the second TERM: launcher and scheduler send one each, while the checkpoint is still being saved after the
  // first.
  if ((signal == SIGTERM && ++g_terminated >= 3) || (signal == SIGINT && ++g_interrupted >= 2)) {
    for (std::size_t i = 0; i < kMostChildren; ++i)
      if (const pid_t child = g_children[i]; child > 0) ::kill(child, g_child_signals[i]);
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  errno = before;
}

// Async-signal-safe.
void handle_stop_signals() {
  sigset_t waiting;  // a signal that was blocked until now, for example by a launcher, is delivered now
  sigemptyset(&waiting);
  for (const StopSignal& stop : kStopSignals) {
    struct sigaction action = {};
    if (sigaction(stop.number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN &&
        (stop.number == SIGINT || stop.number == SIGHUP))
      continue;  // nohup and shells request this for background processes
    action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(stop.number, &action, nullptr);
    sigaddset(&waiting, stop.number);
  }
  sigprocmask(SIG_UNBLOCK, &waiting, nullptr);
}

void on_lost_file(int signal, siginfo_t* about, void*) {
  const char* file = mapped_file_at(about->si_addr);
  if (file == nullptr) {
    std::signal(signal, SIG_DFL);
    return;  // the access is repeated and ends the process
  }
  const std::string what = fmt::format(
      "the shard {} became shorter, or its disk failed, while it was read. Restore it, and do not write to a data set "
      "in use; --run.data_access pread reads without a map.",
      file);
  if (g_report) g_report(what);
  std::fputs(("polyhead: " + what + "\n").c_str(), stderr);
  ::_exit(static_cast<int>(Exit::data));
}

}  // namespace

void catch_lost_files(std::function<void(const std::string&)> report) {
  g_report = std::move(report);
  struct sigaction action = {};
  action.sa_sigaction = on_lost_file;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

void catch_stop_signals(const std::string& who, const std::string& then, bool tell_term) {
  if (!who.empty()) {
    static std::array<std::string, kStopSignals.size()> lines;
    for (std::size_t i = 0; i < kStopSignals.size(); ++i) {
      if (kStopSignals[i].number == SIGTERM && !tell_term) continue;
      lines[i] = fmt::format("{}{}: {}: {}{}.\n", ::isatty(STDERR_FILENO) == 1 ? "\n" : "", who, kStopSignals[i].name,
                             then, kStopSignals[i].warning);
      g_lines[i] = lines[i].c_str();
    }
  }
  handle_stop_signals();
  if (g_requested) say_once(g_first);
}

void catch_early_signals(int argc, char** argv) noexcept {
  if (argc > 1 && (std::strcmp(argv[1], "train") == 0 || std::strcmp(argv[1], "compare") == 0)) handle_stop_signals();
}

void silence_stop_signals() {
  g_said = true;
}

void end_with_this(pid_t child, int signal) {
  for (std::size_t i = 0; i < kMostChildren; ++i) {
    if (g_children[i] != 0) continue;
    g_child_signals[i] = signal;
    g_children[i] = child;
    return;
  }
}

void forget_child(pid_t child) {
  for (std::atomic<int>& known : g_children)
    if (known == child) known = 0;
}

void make_write_signals_errors(bool pipes) {
  std::signal(SIGXFSZ, SIG_IGN);
  if (pipes) std::signal(SIGPIPE, SIG_IGN);
}

void open_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is that of this stream.
    if (::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) return;
  }
}

const std::atomic<bool>& stop_requested() {
  return g_requested;
}

}  // namespace polyhead
