// Signals that ask a run to save a checkpoint and end.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace polyhead {

// From this call on, INT (Ctrl-C), TERM, USR1 and HUP set the flag instead of ending the process. The second INT and
// the third TERM end it at once.
// - INT or HUP stay ignored if they were ignored before, as under nohup.
// - The first signal writes one line to stderr, "WHO: SIGNAL: THEN": who: "polyhead train"; "": write no line. then:
//   what happens next. For a signal that has arrived since catch_early_signals(), the line is written at once.
// - Without `tell_term`, TERM writes no line, because a launcher sends it to workers whose job was ended by another
//   worker.
void catch_stop_signals(const std::string& who = {}, const std::string& then = {}, bool tell_term = true);

// The same without a line, for the commands train and compare only. It may be called before any constructor has run.
void catch_early_signals(int argc, char** argv) noexcept;

// From this call on, signals write no line, because no checkpoint can follow, for example when another worker is gone.
void silence_stop_signals();

// Adds a child process that is sent this signal before a repeated signal ends this process. The caller removes it with
// forget_child() after it has ended. There may be kMostChildren of them; more are not sent a signal.
inline constexpr std::size_t kMostChildren = 256;
void end_with_this(pid_t child, int signal);
void forget_child(pid_t child);

// From this call on, a write above the file size limit (SIGXFSZ) fails with an error instead of ending the process.
// With `pipes` the same holds for a write to a pipe without a reader (SIGPIPE); other commands end by it, as any filter
// does.
void make_write_signals_errors(bool pipes);
// Opens /dev/null for standard input, output and error if the caller has closed them, such that reading and writing
// still fail. Otherwise the next file that is opened would take their place and receive messages.
void open_standard_streams();

// From this call on, if a mapped shard becomes shorter while it is read (SIGBUS), the process ends with code 65 and a
// message that names the shard. `report` is called with the message first. The signal is raised by the reading thread
// at its read, so `report` may call any function.
void catch_lost_files(std::function<void(const std::string&)> report = {});

// True after the first signal.
const std::atomic<bool>& stop_requested();

}  // namespace polyhead
