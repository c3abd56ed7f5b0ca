// Which process of which host: told apart from a later process that has the same number.
#pragma once

#include <string>

namespace polyhead {

struct ProcessId {
  std::string host;
  int pid = 0;
  std::string start;  // "2026-11-28T03:40:00Z"
  std::string mark;   // "BOOT/PID-NAMESPACE/TICKS": the kernel's start, the pid namespace, ticks from boot to its start
};

// This process.
ProcessId own_process();

enum class Life { running, gone, unknown };
// Whether the process still runs. unknown: it belongs to another host, another boot or another container, of which this
// one sees nothing.
Life life_of(const ProcessId& process);

// "process 123 on node7, started 2026-11-28T03:40:00Z"
std::string describe(const ProcessId& process);

}  // namespace polyhead
