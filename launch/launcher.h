// Detects who started this process: mpirun, srun, or the user directly.
#pragma once

#include <memory>
#include <string>

#include "distributed/communicator/communicator.h"

namespace polyhead {

struct Launcher {
  std::string name;     // "mpirun", "srun with PMIx", "srun with PMI", "srun without PMI", "mpiexec with PMI", "none"
  std::string because;  // the environment variable that shows it, "OMPI_COMM_WORLD_SIZE=4"; "" for none
  int processes = 1;    // number of processes that it started, known before MPI starts; 1 if not known
  int rank = 0;         // index of this process among them; -1 if not known
  bool mpi = false;     // whether the processes connect through MPI
};

// Reads the environment. SLURM_PROCID and SLURM_NTASKS are not used: inside a job, the workers of mpirun have those of
// the batch script or of mpirun's own daemons.
Launcher find_launcher();
// Returns the number of processes that the launcher started; 1 without a launcher.
int launched_processes();
// Returns a warning if this process was started without srun or mpirun in a batch job that has room for several tasks;
// otherwise "".
std::string alone_in_job(const Launcher& launcher);

// Returns an identifier of this start that can be part of a file name; "" if the launcher gives none.
std::string launched_job();
// Whether the launcher reports that all processes are on this machine.
bool launched_on_one_host();

// Throws Error(config) with the cure if the world has another number of workers than the launcher started. Otherwise
// each process would train alone in the same run folder.
void check_world_size(const Launcher& launcher, int size);

// Returns MPI's world if an MPI launcher started this process, otherwise a world with one worker. Throws as
// check_world_size(), and Error(config) if a launcher without MPI started several processes.
std::unique_ptr<Communicator> make_world(int* argc, char*** argv);

}  // namespace polyhead
