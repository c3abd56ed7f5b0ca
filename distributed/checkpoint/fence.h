// Keeps a process that no longer owns its run folder from publishing in it. Like the timeline, one for the process: the
// launcher sets it, the trainer asks it.
#pragma once

#include <functional>
#include <string>

namespace polyhead {

struct Fence {
  // Throws Error(cannot_write) where the run folder is another training's now. Rank 0's, to be called before a
  // checkpoint is written and before it is published.
  std::function<void()> check = [] {};
  // Of this start alone: tells the temporary files that it writes from those of another start; "": none is set.
  std::string token = {};
};

inline Fence& fence() {
  static Fence of_process;
  return of_process;
}

}  // namespace polyhead
