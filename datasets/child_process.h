// Work in child processes with limits of memory and time: what crashes or runs away there is a result, not our end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace polyhead {

struct ChildLimits {
  std::uint64_t memory_bytes = 0;  // beyond what the process has mapped when it forks
  std::uint64_t cpu_seconds = 0;
};

struct ChildResult {
  std::string output;  // what the job returned; "" when it did not come to an end
  std::string ended;   // "" when it did, else why not: "signal 11, Segmentation fault", "more than 60 s of CPU time"
  bool crashed = false;
};

// Runs job(0) … job(count - 1), each in a forked child, `at_once` of them at a time, and calls done(i, result) in this
// process as they end. The process should have one thread when it forks. A job must not throw (std::bad_alloc apart,
// which is reported as running out of memory). Memory is not limited in a build with a sanitizer, whose shadow alone
// would exceed any limit. Throws Error(internal) when the system has no more processes.
void run_children(std::size_t count, std::size_t at_once, const std::function<ChildLimits(std::size_t)>& limits,
                  const std::function<std::string(std::size_t)>& job,
                  const std::function<void(std::size_t, ChildResult)>& done);

}  // namespace polyhead
