// Uses signals, /proc, and a process that outlives this one.
#include "distributed/watchdog/process.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "core/base/error.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr int kCode = static_cast<int>(Exit::hang);

void on_alarm(int) {
  ::_exit(kCode);
}

// Returns whether a process of this host runs the same program for the same user, as a worker of this job does.
bool is_worker(int process) {
  struct stat about = {};
  std::error_code error;
  if (process <= 1 || process == getpid() || ::stat(fmt::format("/proc/{}", process).c_str(), &about) != 0 ||
      about.st_uid != geteuid())
    return false;
  const fs::path own = fs::read_symlink("/proc/self/exe", error);
  return !error && fs::read_symlink(fmt::format("/proc/{}/exe", process), error) == own && !error;
}

}  // namespace

void end_at_the_latest_after(unsigned seconds) {
  struct sigaction action = {};
  action.sa_handler = on_alarm;
  sigemptyset(&action.sa_mask);
  sigaction(SIGALRM, &action, nullptr);
  alarm(seconds);
}

long killed_for_memory() {
  std::ifstream file("/proc/vmstat");
  std::string name;
  for (long value = 0; file >> name >> value;)
    if (name == "oom_kill") return value;
  return 0;
}

void kill_soon(std::vector<int> processes) {
  std::erase_if(processes, [](int process) { return !is_worker(process); });
  if (processes.empty()) return;
  // fork() is not used, because its handlers take locks that a stuck thread may hold.
  if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) != 0) return;
  setsid();
  syscall(SYS_close_range, 0, ~0U, 0);  // the launcher waits until all copies of this process's output are closed
  const timespec pause{2, 0};
  nanosleep(&pause, nullptr);
  for (const int process : processes) kill(process, SIGKILL);
  ::_exit(0);
}

}  // namespace polyhead
