// How many threads this process computes with where nobody has said, and how its idle threads wait.
#pragma once

#include <string>

#include "launch/run_options.h"

namespace polyhead {

// The first number of OMP_NUM_THREADS; 0 where it is not set or holds none.
int threads_of_environment();

struct ThreadChoice {
  int threads = 1;
  std::string reason;  // one line for the user, where the number was measured
};

// Times a feed-forward layer of the default size with at_most threads, half as many and so on down to 1, in turns, and
// takes the fastest; of nearly equally fast ones the fewest. Takes about a fifth of a second.
ThreadChoice measure_threads(int at_most);

// `given` when it is above 0; else OMP_NUM_THREADS; else, of a process that has its CPUs for itself and computes on
// them, what measure_threads() finds; else its share of the CPUs. workers: of the run, on all hosts.
ThreadChoice choose_threads(int given, const CpuShare& cpus, int workers, const std::string& device);

// The same for a training run, whose bits depend on the number of threads: a run that goes on keeps the number that its
// config.ini holds, and a number that is found for a new one is put into `config`, and so into its config.ini.
ThreadChoice settle_threads(Config& config, const TrainOptions& options, const CpuShare& cpus, int workers);

// OpenMP's threads wait by spinning, for milliseconds, which stops a program whose cores others use too: the thread
// that it waits for is not running. A function that runs before any library is initialised therefore starts the program
// again with GOMP_SPINCOUNT and KMP_BLOCKTIME set to spin shortly and then sleep, unless the environment says how to
// wait, or a launcher has started several workers. This removes these variables, so that the program's children, such
// as mpirun, do not inherit them.
void forget_wait_policy();

}  // namespace polyhead
