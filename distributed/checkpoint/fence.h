// Keeps a process that no longer owns its run folder from publishing checkpoints in it. There is one per process, as
// with the timeline: the launcher sets it, and the trainer checks it.
#pragma once

#include <functional>
#include <string>

namespace polyhead {

struct Fence {
  // Throws Error(cannot_write) if the run folder now belongs to another training. Rank 0 calls it before it writes a
  // checkpoint and before it publishes one.
  std::function<void()> check = [] {};
  // Identifies this start of the program in the names of its temporary files, so that they differ from those of other
  // starts; "": not set.
  std::string token = {};
};

inline Fence& fence() {
  static Fence of_process;
  return of_process;
}

}  // namespace polyhead
