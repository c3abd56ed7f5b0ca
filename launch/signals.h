// Signals that ask a run to save and end.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <string>
#include <string_view>

namespace polyhead {

// From now on INT (Ctrl-C), TERM, USR1 and HUP set the flag instead of ending the process; an INT or HUP that was
// ignored before, as under nohup, stays ignored. The second INT and the third TERM end it at once.
// The first signal writes one line to stderr, which begins with `who` ("polyhead train"; "": no line) and ends with
// `then`, what happens now. A signal that came since catch_early_signals() is told at once. Without `tell_term` TERM
// has no line: a launcher sends it to workers whose job another worker has ended.
void catch_stop_signals(const std::string& who = {}, const std::string& then = {}, bool tell_term = true);

// The same without a line, for the commands train and compare alone; may be called before any constructor has run.
void catch_early_signals(int argc, char** argv) noexcept;

// From now on a signal writes no line: no checkpoint can follow, as when another worker is gone.
void silence_stop_signals();

// The process that the second INT takes with it, by this signal; 0: none.
void end_with_this(pid_t child, int signal = 0);

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
