// Identifies a process of a host, and distinguishes it from a later process with the same number.
#pragma once

#include <string>

namespace polyhead {

struct ProcessId {
  std::string host;
  int pid = 0;
  std::string start;  // "2026-11-28T03:40:00Z"
  // "BOOT/PID-NAMESPACE/TICKS": boot id, pid namespace, and the ticks from boot to the start of the process.
  std::string mark;
};

// Returns the id of this process.
ProcessId own_process();

enum class Life { running, gone, unknown };
// Whether the process still runs. unknown: it belongs to another host, boot or container, whose processes are not
// visible here.
Life life_of(const ProcessId& process);

// "process 123 on node7, started 2026-11-28T03:40:00Z"
std::string describe(const ProcessId& process);

}  // namespace polyhead
