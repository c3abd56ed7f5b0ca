// The stacks of all threads of this process, as text.
#pragma once

#include <string>

namespace polyhead {

// To be called once, early: the first backtrace loads libgcc, which a signal handler must not.
void prepare_backtraces();
// Every thread but the caller's is interrupted by a signal and writes down its frames; one that does not answer in time
// is told with its state in /proc. Not by two threads at once.
std::string backtraces();

}  // namespace polyhead
