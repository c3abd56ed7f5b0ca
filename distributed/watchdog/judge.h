// Who is late: from what each worker last said of itself to one line for a person.
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

// What a worker's watchdog says of it.
struct WorkerState {
  int pid = 0;
  std::string host;
  bool joined = false;       // the world of MPI is there
  std::string phase;         // of Timeline
  double phase_seconds = 0;  // in it
  double silent = 0;         // seconds without progress
  std::int64_t step = 0;     // 0: before the first
  std::optional<Waiting> waiting = {};
  std::map<std::uint64_t, Call> calls = {};  // group -> its newest call
};

// The same as seen from another one.
struct WorkerView {
  int rank = 0;
  bool started = false;    // has been heard
  bool ended = false;      // has taken leave
  bool said_lost = false;  // that it has ended unexpectedly
  double unheard = 0;      // seconds since it was last heard
  double lost = -1;        // seconds since its connection was closed without a leave; negative: it was not
  char process = 0;        // state in /proc, as a worker of its host reads it: T, D, ...; X: it is gone; 0: not known
  WorkerState state = {};  // as last heard
};

struct WatchLimits {
  double hang = 600, init = 300;  // seconds; 0: never
};

struct HangReport {
  std::vector<int> late;  // ranks of the workers that the others wait for
  std::string words;      // one line for a person, without a line break at its end
};

// Returns nullopt when nothing is wrong. `since_start`: seconds since the judging worker began. `host`: where all
// workers run, as far as the launcher tells; else "".
std::optional<HangReport> judge(const std::vector<WorkerView>& workers, double since_start, const WatchLimits& limits,
                                const std::string& host = "");

// A worker whose connection was closed without a leave, and whose process is gone or does not connect again.
// `out_of_memory`: the kernel has killed a process of this host for lack of memory meanwhile.
std::string describe_lost(const WorkerView& lost, std::size_t workers, bool out_of_memory);

// Of one worker that is known to be late, at which `wait` waits.
std::string describe_late(const WorkerView& late, std::size_t workers, const std::optional<Waiting>& wait,
                          std::size_t waiters);

}  // namespace polyhead
