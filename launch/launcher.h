// Who started this process: mpirun, srun, or nobody but the user.
#pragma once

#include <memory>
#include <string>

#include "distributed/communicator/communicator.h"

namespace polyhead {

// Whether mpirun, or srun with PMIx or PMI, started this process.
bool started_by_mpi();
// How many processes the launcher says it started; 1 without a launcher.
int launched_processes();

// Which of them this is, from 0; -1 when the launcher does not say.
int launched_rank();
// What tells this start from others, for the name of a file; "" when the launcher does not say.
std::string launched_job();
// Whether the launcher says that all of them are on this machine.
bool launched_on_one_host();

// This machine's name; "?" when the system does not tell.
std::string host_name();

// The world: MPI's where a launcher of MPI started this process, else a world of one. Throws Error(config) when srun
// started several tasks without PMIx, which would be as many worlds of one in the same run folder.
std::unique_ptr<Communicator> make_world(int* argc, char*** argv);

}  // namespace polyhead
