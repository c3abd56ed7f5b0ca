// Signals that ask a run to save and end.
#pragma once

#include <atomic>

namespace polyhead {

// From now on USR1 and TERM set the flag instead of ending the process. The third TERM ends it at once.
void catch_stop_signals();

// True once a signal has come.
const std::atomic<bool>& stop_requested();

}  // namespace polyhead
