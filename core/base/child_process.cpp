// Uses fork, resource limits, a pipe for the result, and the wait status.
#include "core/base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <new>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"

namespace polyhead {
namespace {

constexpr int kOutOfMemory = 3, kThrew = 4, kCannotWrite = 5;  // exit codes of a child
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

struct Child {
  std::size_t job = 0;
  pid_t process = -1;
  int pipe = -1;
  ChildLimits limits;
  std::string output;
};

std::uint64_t mapped_bytes() {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Sets only the soft limit: at the hard limit of CPU time, SIGKILL would end the child without a message.
void limit(int what, std::uint64_t value) {
  rlimit now{};
  if (::getrlimit(what, &now) != 0) return;
  now.rlim_cur = std::min<rlim_t>(value, now.rlim_max);
  ::setrlimit(what, &now);
}

[[noreturn]] void be_child(const std::function<std::string(std::size_t)>& job, std::size_t index,
                           const ChildLimits& limits, int out) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent reports a crash, so neither a core file nor messages of the C library are needed.
  limit(RLIMIT_CORE, 0);
  if (const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC); null >= 0) ::dup2(null, STDERR_FILENO);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU, SIGPIPE}) ::signal(signal, SIG_DFL);
  if (!kSanitized) limit(RLIMIT_AS, mapped_bytes() + limits.memory_bytes);
  limit(RLIMIT_CPU, limits.cpu_seconds);
  try {
    const std::string result = job(index);
    for (std::size_t at = 0; at < result.size();) {
      const ssize_t wrote = ::write(out, result.data() + at, result.size() - at);
      if (wrote < 0 && errno != EINTR) ::_exit(kCannotWrite);
      at += wrote > 0 ? static_cast<std::size_t>(wrote) : 0;
    }
  } catch (const std::bad_alloc&) {
    ::_exit(kOutOfMemory);
  } catch (...) {
    ::_exit(kThrew);
  }
  ::_exit(0);
}

ChildResult wait_for(const Child& child) {
  int status = 0;
  while (::waitpid(child.process, &status, 0) < 0 && errno == EINTR) {
  }
  ChildResult result;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    result.output = child.output;
  } else if (WIFEXITED(status) && WEXITSTATUS(status) == kOutOfMemory) {
    result.ended = fmt::format("more than {} MiB of memory", child.limits.memory_bytes >> 20);
  } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
    result.ended = fmt::format("more than {} s of CPU time", child.limits.cpu_seconds);
  } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    result.ended = "more memory than the machine has (the system killed it)";
  } else {
    result.crashed = true;
    result.ended = WIFSIGNALED(status) ? fmt::format("signal {}, {}", WTERMSIG(status), ::strsignal(WTERMSIG(status)))
                                       : fmt::format("exit code {}", WEXITSTATUS(status));
  }
  return result;
}

}  // namespace

void run_children(std::size_t count, std::size_t at_once, const std::function<ChildLimits(std::size_t)>& limits,
                  const std::function<std::string(std::size_t)>& job,
                  const std::function<void(std::size_t, ChildResult)>& done) {
  std::vector<Child> running;
  const auto give_up = [&](const char* what) {
    const std::string reason = std::system_category().message(errno);
    for (const Child& child : running) {
      ::kill(child.process, SIGKILL);
      ::waitpid(child.process, nullptr, 0);
      ::close(child.pipe);
    }
    throw Error(Exit::internal,
                fmt::format("cannot make a child process ({}): {}; fewer --threads need less", what, reason));
  };
  std::size_t next = 0;
  std::array<char, 1 << 16> buffer{};
  while (next < count || !running.empty()) {
    while (next < count && running.size() < std::max<std::size_t>(at_once, 1)) {
      std::array<int, 2> ends{};
      if (::pipe2(ends.data(), O_CLOEXEC) != 0) give_up("pipe");
      Child child{next, -1, ends[0], limits(next), {}};
      child.process = ::fork();
      if (child.process == 0) be_child(job, child.job, child.limits, ends[1]);
      const int reason = errno;
      ::close(ends[1]);
      if (child.process < 0) {
        ::close(ends[0]);
        errno = reason;
        give_up("fork");
      }
      running.push_back(std::move(child));
      ++next;
    }
    std::vector<pollfd> waits;
    for (const Child& child : running) waits.push_back({child.pipe, POLLIN, 0});
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) give_up("poll");
    for (std::size_t i = waits.size(); i-- > 0;) {
      if (waits[i].revents == 0) continue;
      const ssize_t got = ::read(running[i].pipe, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got > 0) {
        running[i].output.append(buffer.data(), static_cast<std::size_t>(got));
        continue;
      }
      ::close(running[i].pipe);
      const Child child = std::move(running[i]);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      done(child.job, wait_for(child));
    }
  }
}

}  // namespace polyhead
