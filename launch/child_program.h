// Runs another program as a child process. compare trains with it.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

namespace polyhead {

// Runs a program (found in PATH) until it ends, and appends its output to the file `log`. Returns its exit code, or 128
// + the signal that ended it.
// - When `stop` becomes true, or if this process ends first, the child gets SIGUSR1, which makes training, mpirun and
//   srun save and end.
// - Throws Error(config) if the program cannot be started, and Error(cannot_write) for the log.
int run_child_program(const std::vector<std::string>& words, const std::filesystem::path& log,
                      const std::atomic<bool>& stop);

}  // namespace polyhead
