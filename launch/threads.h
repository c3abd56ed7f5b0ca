// Chooses the number of compute threads if none is given, and how idle threads wait.
#pragma once

#include <string>

#include "launch/host.h"
#include "launch/options.h"

namespace polyhead {

// Returns the first number of OMP_NUM_THREADS; 0 if it is not set or has none.
int threads_of_environment();

struct ThreadChoice {
  int threads = 1;
  std::string reason;  // one line for the user if the number was measured; otherwise ""
};

// Measures a feed-forward layer of the default size with at_most threads, half as many, and so on down to 1, in several
// rounds. Returns the fastest number; more threads are used only if they are at least 10 % faster. It takes about a
// fifth of a second.
ThreadChoice measure_threads(int at_most);

// Returns the first that applies: `given` if it is above 0; OMP_NUM_THREADS; for a single worker with the CPUs to
// itself that computes on them, the number of measure_threads(); otherwise the worker's share of the CPUs. workers: of
// the run, on all hosts.
ThreadChoice choose_threads(int given, const CpuShare& cpus, int workers, const std::string& device);

// The same for a training run, whose bits depend on the number of threads. Without OMP_NUM_THREADS, a run that is
// resumed keeps the number in its config.ini. The number that is chosen is set in `config`, and so stored in
// config.ini. Nothing is chosen for several workers and with run.reproducible = world.
ThreadChoice settle_threads(Config& config, const TrainOptions& options, const CpuShare& cpus, int workers);

// Idle OpenMP threads spin for milliseconds, which stalls a program whose cores are shared, because the thread that
// they wait for may not be running. Therefore a function that runs before any library is initialized starts the program
// again with GOMP_SPINCOUNT and KMP_BLOCKTIME set to a short spin, unless the environment already says how to wait or a
// launcher has started several workers. forget_wait_policy() removes these variables, so that child processes such as
// mpirun do not inherit them.
void forget_wait_policy();

}  // namespace polyhead
