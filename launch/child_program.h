// Another program as a child: what compare trains with.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

namespace polyhead {

// Runs a program (found in PATH) to its end; what it prints is appended to the file `log`. When `stop` becomes true,
// and when this process ends first, it gets SIGUSR1, by which training, mpirun and srun save and end. -> its exit code,
// or 128 + the signal that ended it. Throws Error(config) when the program cannot be started, Error(cannot_write) for
// the log.
int run_child_program(const std::vector<std::string>& words, const std::filesystem::path& log,
                      const std::atomic<bool>& stop);

}  // namespace polyhead
