// Signals that ask a run to save and end.
#pragma once

#include <atomic>
#include <functional>
#include <string>

namespace polyhead {

// From now on USR1, TERM and HUP (a terminal that is closed; not under nohup) set the flag instead of ending the
// process. The third TERM ends it at once.
void catch_stop_signals();

// From now on a write that exceeds the file size limit (SIGXFSZ) is an error of that write; with `pipes` also one to a
// pipe whose reader is gone (SIGPIPE), which ends other commands as it ends any filter.
void make_write_signals_errors(bool pipes);
// Standard input, output and error that the caller has closed become /dev/null, opened so that reading and writing fail
// as before: else the next file that is opened would take their place, and messages would go into it.
void open_standard_streams();

// From now on a mapped shard that becomes shorter while it is read (SIGBUS) ends the process with code 65 and a line
// that names it, which `told` hears first. The signal is the reading thread's own, at its read, so `told` may do what
// any code may.
void catch_lost_files(std::function<void(const std::string&)> told = {});

// True once a signal has come.
const std::atomic<bool>& stop_requested();

}  // namespace polyhead
