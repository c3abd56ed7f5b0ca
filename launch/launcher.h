// Who started this process: mpirun, srun, or nobody but the user.
#pragma once

#include <memory>
#include <string>

#include "distributed/communicator/communicator.h"

namespace polyhead {

struct Launcher {
  std::string name;     // "mpirun", "srun with PMIx", "srun with PMI", "srun without PMI", "mpiexec with PMI", "none"
  std::string because;  // the environment variable that told, "OMPI_COMM_WORLD_SIZE=4"; "" for none
  int processes = 1;    // that it says it started, before MPI starts; 1 where it does not say
  int rank = 0;         // which of them this is; -1 where it does not say
  bool mpi = false;     // they are to find each other by MPI
};

// From the environment. SLURM_PROCID and SLURM_NTASKS are not asked: inside a job, mpirun's workers see those of the
// batch script or of mpirun's own daemons.
Launcher find_launcher();
// How many processes the launcher says it started; 1 without a launcher.
int launched_processes();
// What is to be said where a batch job has room for several tasks, but this process was started in it without srun or
// mpirun; "" otherwise.
std::string alone_in_job(const Launcher& launcher);

// What tells this start from others, for the name of a file; "" when the launcher does not say.
std::string launched_job();
// Whether the launcher says that all of them are on this machine.
bool launched_on_one_host();

// This machine's name; "?" when the system does not tell.
std::string host_name();

// Throws Error(config) with the cure where the world is not of as many workers as the launcher says it started: each
// process would train alone, in the same run folder.
void check_world_size(const Launcher& launcher, int size);

// The world: MPI's where a launcher of MPI started this process, else a world of one; of the launcher's size, else
// Error(config).
std::unique_ptr<Communicator> make_world(int* argc, char*** argv);

}  // namespace polyhead
