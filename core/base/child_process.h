// Runs work in child processes with limits of memory and time. A crash or an endless loop in the work is a result, and
// this process continues.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace polyhead {

struct ChildLimits {
  std::uint64_t memory_bytes = 0;  // in addition to what the process has mapped when it forks
  std::uint64_t cpu_seconds = 0;
};

struct ChildResult {
  std::string output;  // what the job returned; "" if it did not finish
  std::string
      ended;  // "" if it finished; otherwise the reason: "signal 11, Segmentation fault", "more than 60 s of CPU time"
  bool crashed = false;
};

// Runs job(0) … job(count - 1), each in a forked child and `at_once` of them at a time. done(i, result) is called in
// this process as they end.
// - The process should have one thread when it forks.
// - A job must not throw, except std::bad_alloc, which is reported as running out of memory.
// - Memory is not limited in a build with a sanitizer, whose shadow memory alone would exceed any limit.
// - Throws Error(internal) when the system cannot create more processes.
void run_children(std::size_t count, std::size_t at_once, const std::function<ChildLimits(std::size_t)>& limits,
                  const std::function<std::string(std::size_t)>& job,
                  const std::function<void(std::size_t, ChildResult)>& done);

}  // namespace polyhead
