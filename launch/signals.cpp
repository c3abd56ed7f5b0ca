// Signals that ask a run to save and end. The handler touches lock-free atomics only.
#include "launch/signals.h"

#include <csignal>

namespace polyhead {
namespace {

std::atomic<bool> g_requested{false};
std::atomic<int> g_terminated{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  g_requested = true;
  // Not the second: launchers and schedulers send one each, and the first's checkpoint is still being saved.
  if (signal == SIGTERM && ++g_terminated >= 3) {
    std::signal(SIGTERM, SIG_DFL);
    std::raise(SIGTERM);
  }
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

const std::atomic<bool>& stop_requested() {
  return g_requested;
}

}  // namespace polyhead
