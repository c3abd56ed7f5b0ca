// Decides which workers are late, from the last report of each worker, and writes the message that names them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace polyhead {

// A collective that a worker is in.
struct Waiting {
  std::string name;
  std::uint64_t group = 0, number = 0;
  double seconds = 0;
};

struct Call {
  std::uint64_t number = 0;  // counts from 1 within the group
  std::string name = {};
};

// The report that a worker's watchdog sends.
struct WorkerState {
  int pid = 0;
  std::string host;
  bool joined = false;       // MPI is initialised
  std::string phase;         // of Timeline
  double phase_seconds = 0;  // in it
  double silent = 0;         // seconds without progress
  std::int64_t step = 0;     // 0: before the first
  std::optional<Waiting> waiting = {};
  std::map<std::uint64_t, Call> calls = {};  // group -> its newest call
};

// What another worker knows of it.
struct WorkerView {
  int rank = 0;
  bool started = false;        // a report has arrived
  bool ended = false;          // it has unregistered, so no more reports are expected
  bool reported_lost = false;  // whether its unexpected end has been reported
  double since_heard = 0;      // seconds since its last report
  double lost = -1;            // seconds since its connection was closed without unregistering; negative: it was not
  char process = 0;        // state in /proc, read by a worker of its host: T, D, ...; X: no such process; 0: not known
  WorkerState state = {};  // its last report
};

struct WatchLimits {
  double hang = 600, init = 300;  // seconds; 0: never
};

struct HangReport {
  std::vector<int> late;  // ranks of the workers that the others wait for
  std::string words;      // one line for a person, without a line break at its end
};

// Returns nullopt if no worker is late. `since_start`: seconds since the worker that decides has started. `host`: the
// host of all workers, if the launcher says that they share one; otherwise "".
std::optional<HangReport> find_hang(const std::vector<WorkerView>& workers, double since_start,
                                    const WatchLimits& limits, const std::string& host = "");

// Describes a worker whose connection was closed without unregistering and whose process is gone or does not connect
// again. `out_of_memory`: the kernel has killed a process of this host in the meantime because memory ran out.
std::string describe_lost(const WorkerView& lost, std::size_t workers, bool out_of_memory);

// Describes a worker that is late. `wait`: the collective in which `waiters` other workers wait for it.
std::string describe_late(const WorkerView& late, std::size_t workers, const std::optional<Waiting>& wait,
                          std::size_t waiters);

}  // namespace polyhead
