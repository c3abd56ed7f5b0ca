// Uses fork and exec.
#include "launch/compare/child_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "core/base/error.h"
#include "launch/signals.h"

namespace polyhead {

ChildProgram::ChildProgram(const std::vector<std::string>& words, const std::filesystem::path& log) {
  std::vector<std::string> copies = words;
  std::vector<char*> arguments;
  for (std::string& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (out < 0) throw Error(Exit::cannot_write, fmt::format("cannot write {}: {}", log.string(), std::strerror(errno)));
  std::array<int, 2> failed{};  // reports a failure of exec; closed if exec succeeds
  const pid_t parent = ::getpid();
  if (::pipe2(failed.data(), O_CLOEXEC) == 0 && (child_ = ::fork()) == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGUSR1);
    ::setpgid(0, 0);  // turns Ctrl-C into the SIGUSR1 of ask_to_end(), which launchers pass on; with a SIGINT of its
                      // own, mpirun would not let runs save
    const int in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (::getppid() == parent && in >= 0 && ::dup2(in, STDIN_FILENO) >= 0 && ::dup2(out, STDOUT_FILENO) >= 0 &&
        ::dup2(out, STDERR_FILENO) >= 0)
      ::execvp(arguments[0], arguments.data());
    const int reason = errno;
    if (::write(failed[1], &reason, sizeof reason) < 0) ::_exit(1);
    ::_exit(1);
  }
  const int reason = errno;
  ::close(out);
  if (child_ < 0) throw Error(Exit::internal, fmt::format("cannot create a child process: {}", std::strerror(reason)));
  ::close(failed[1]);
  int error = 0;
  ssize_t got = 0;
  while ((got = ::read(failed[0], &error, sizeof error)) < 0 && errno == EINTR) {
  }
  ::close(failed[0]);
  if (got == sizeof error) {
    while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
    throw Error(Exit::config, fmt::format("cannot start '{}': {}", words[0], std::strerror(error)));
  }
  std::error_code code;
  const bool itself = words[0] == std::filesystem::read_symlink("/proc/self/exe", code);
  end_with_this(child_, itself ? SIGKILL : SIGTERM);  // a launcher ends its workers
}

ChildProgram::~ChildProgram() {
  if (!ended()) ask_to_end();
  while (!ended()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

void ChildProgram::ask_to_end() {
  if (asked_ || code_) return;
  asked_ = true;
  ::kill(child_, SIGUSR1);
}

std::optional<int> ChildProgram::ended() {
  int status = 0;
  if (code_ || ::waitpid(child_, &status, WNOHANG) == 0) return code_;
  forget_child(child_);
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return code_;
}

}  // namespace polyhead
