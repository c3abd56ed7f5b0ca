// The stacks of all threads of this process, as text.
#pragma once

#include <string>

namespace polyhead {

// Call it once, early: the first backtrace loads libgcc, which is not allowed in a signal handler.
void prepare_backtraces();
// Interrupts every thread except the caller's by a signal, and returns their frames. For a thread that does not answer
// in time, it returns its state in /proc. Only one thread may call it at a time.
std::string backtraces();

}  // namespace polyhead
