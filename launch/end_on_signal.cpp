// The handler writes the signal's number to a pipe, which a thread reads.
#include "launch/end_on_signal.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace polyhead {
namespace {

struct Handled {
  int number;
  const char* name;
};
constexpr std::array kHandled = {Handled{SIGINT, "SIGINT"}, Handled{SIGTERM, "SIGTERM"}, Handled{SIGHUP, "SIGHUP"}};

int g_pipe[2] = {-1, -1};

// Async-signal-safe.
void on_signal(int number) {
  const int before = errno;
  const auto byte = static_cast<unsigned char>(number);
  if (::write(g_pipe[1], &byte, 1) < 0) ::_exit(128 + number);
  errno = before;
}

}  // namespace

EndOnSignal::EndOnSignal(std::string who, std::function<std::string()> clean)
    : who_(std::move(who)), clean_(std::move(clean)) {
  if (::pipe2(g_pipe, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  thread_ = std::thread([this] { wait(); });
  for (const Handled& one : kHandled) {
    struct sigaction action = {};
    if (sigaction(one.number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN && one.number != SIGTERM) continue;
    action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
    sigemptyset(&action.sa_mask);
    sigaction(one.number, &action, nullptr);
  }
}

EndOnSignal::~EndOnSignal() {
  for (const Handled& one : kHandled) {
    struct sigaction action = {};
    if (sigaction(one.number, nullptr, &action) == 0 && action.sa_handler == on_signal)
      std::signal(one.number, SIG_DFL);
  }
  const unsigned char none = 0;
  while (::write(g_pipe[1], &none, 1) < 0 && errno == EINTR) {
  }
  thread_.join();
  for (const int end : g_pipe) ::close(end);
}

void EndOnSignal::wait() {
  unsigned char number = 0;
  while (::read(g_pipe[0], &number, 1) < 0 && errno == EINTR) {
  }
  for (const Handled& one : kHandled) {
    if (one.number != number) continue;
    const std::string line = clean_();
    if (line.empty()) return;
    const std::string all =
        fmt::format("{}{}: {}: {}.\n", ::isatty(STDERR_FILENO) == 1 ? "\n" : "", who_, one.name, line);
    if (std::fputs(all.c_str(), stderr) >= 0) std::fflush(stderr);
    std::signal(one.number, SIG_DFL);
    ::kill(::getpid(), one.number);
  }
}

}  // namespace polyhead
