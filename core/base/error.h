// An error that a user can act on, with the exit code of the program.
#pragma once

#include <stdexcept>
#include <string>

namespace polyhead {

// The program's exit codes. status.json uses the same ones.
enum class Exit : int {
  done = 0,
  usage = 2,
  data = 65,      // invalid data or checkpoint
  internal = 70,  // internal error or corruption
  hang = 71,
  cannot_write = 73,
  preempted = 75,  // a checkpoint is saved; start the run again
  diverged = 76,
  config = 78,
};

// The message says what was being done, what was found, what was expected and what to do. It names the file, the task
// and the rank where they matter.
class Error : public std::runtime_error {
 public:
  Error(Exit code, const std::string& message) : std::runtime_error(message), code_(code) {}
  Exit code() const { return code_; }

 private:
  Exit code_;
};

}  // namespace polyhead
