// Runs another program as a child process. compare trains with it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace polyhead {

// A program that runs beside this one. If this process ends first, the program gets SIGUSR1, which makes training,
// mpirun and srun save and end. Only the thread that has started a program may use it, and that thread must live
// longer.
class ChildProgram {
 public:
  // Starts a program (found in PATH), whose output is appended to the file `log`. Throws Error(config) if it cannot be
  // started, and Error(cannot_write) for the log.
  ChildProgram(const std::vector<std::string>& words, const std::filesystem::path& log);
  // Asks a program that still runs to end, and waits for it.
  ~ChildProgram();
  ChildProgram(const ChildProgram&) = delete;
  ChildProgram& operator=(const ChildProgram&) = delete;

  // Sends SIGUSR1, once.
  void ask_to_end();
  // Returns the program's exit code, or 128 + the signal that ended it; nullopt while it runs.
  std::optional<int> ended();

 private:
  pid_t child_ = -1;
  bool asked_ = false;
  std::optional<int> code_;
};

}  // namespace polyhead
