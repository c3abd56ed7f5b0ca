// Signals that ask a run to save and end, and the one of a mapped file that has become shorter.
#include "launch/signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include <fmt/format.h>

#include "core/base/error.h"
#include "datasets/file_pool.h"

namespace polyhead {
namespace {

std::atomic<bool> g_requested{false};
std::atomic<int> g_terminated{0};
std::function<void(const std::string&)> g_told;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

// Async-signal-safe.
void on_signal(int signal) {
  g_requested = true;
  // Not the second: launchers and schedulers send one each, and the first's checkpoint is still being saved.
  if (signal == SIGTERM && ++g_terminated >= 3) {
    std::signal(SIGTERM, SIG_DFL);
    std::raise(SIGTERM);
  }
}

void on_lost_file(int signal, siginfo_t* about, void*) {
  const char* file = mapped_file_at(about->si_addr);
  if (file == nullptr) {
    std::signal(signal, SIG_DFL);
    return;  // the same access ends the process
  }
  const std::string what = fmt::format(
      "the shard {} became shorter, or its disk failed, while it was read. Restore it, and do not write to a data set "
      "in use; --run.data_access pread reads without a map.",
      file);
  if (g_told) g_told(what);
  std::fputs(("polyhead: " + what + "\n").c_str(), stderr);
  ::_exit(static_cast<int>(Exit::data));
}

}  // namespace

void catch_lost_files(std::function<void(const std::string&)> told) {
  g_told = std::move(told);
  struct sigaction action = {};
  action.sa_sigaction = on_lost_file;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction before = {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
}

void make_write_signals_errors(bool pipes) {
  std::signal(SIGXFSZ, SIG_IGN);
  if (pipes) std::signal(SIGPIPE, SIG_IGN);
}

void open_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is this one.
    if (::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) return;
  }
}

const std::atomic<bool>& stop_requested() {
  return g_requested;
}

}  // namespace polyhead
