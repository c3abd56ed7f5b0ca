// The processes of this host as the watchdog sees and ends them.
#pragma once

#include <vector>

namespace polyhead {

// Returns how many processes the kernel of this host has killed for lack of memory; 0 if it does not report it.
long killed_for_memory();

// Ends this process with code 71 after this number of seconds, because a report may go to a file system that hangs too.
void end_at_the_latest_after(unsigned seconds);

// Kills stopped workers of this host, which do not answer, two seconds later and from a process of its own, so that
// the launcher first learns of code 71. Most launchers have killed them by then. Processes that are not workers of this
// program and user are left alone.
void kill_soon(std::vector<int> processes);

}  // namespace polyhead
