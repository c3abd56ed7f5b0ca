// An error that a person can act on, with the exit code that the program ends with.
#pragma once

#include <stdexcept>
#include <string>

namespace polyhead {

// The program's exit codes; status.json says the same.
enum class Exit : int {
  done = 0,
  usage = 2,
  data = 65,      // bad data or checkpoint
  internal = 70,  // internal error or corruption
  hang = 71,
  cannot_write = 73,
  preempted = 75,  // saved; requeue
  diverged = 76,
  config = 78,
};

// What was being done, what was found, what was expected, what to do; names the file, the task, the rank where they
// matter.
class Error : public std::runtime_error {
 public:
  Error(Exit code, const std::string& message) : std::runtime_error(message), code_(code) {}
  Exit code() const { return code_; }

 private:
  Exit code_;
};

}  // namespace polyhead
