// Signals that ask a run to save and end.
#pragma once

#include <atomic>
#include <functional>
#include <string>

namespace polyhead {

// From now on USR1 and TERM set the flag instead of ending the process. The third TERM ends it at once.
void catch_stop_signals();

// From now on a mapped shard that becomes shorter while it is read (SIGBUS) ends the process with code 65 and a line
// that names it, which `told` hears first. The signal is the reading thread's own, at its read, so `told` may do what
// any code may.
void catch_lost_files(std::function<void(const std::string&)> told = {});

// True once a signal has come.
const std::atomic<bool>& stop_requested();

}  // namespace polyhead
