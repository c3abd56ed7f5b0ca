// The mpi backend: host memory, on one host or many.
#pragma once

#include <memory>

#include "distributed/communicator/communicator.h"

namespace polyhead {

// Whether the program was built with MPI.
bool mpi_available();

// The world of MPI. Initialises MPI (thread level funneled) and finalises it when the last group is destroyed.
// - Errors of MPI become exceptions that contain MPI's own message. `argc` and `argv` are those of main().
// - Keep the world outside of the block that catches exceptions, and end with abort() there: finalising waits for all
//   members, so it is skipped while an exception destroys the last group.
std::unique_ptr<Communicator> make_mpi_communicator(int* argc, char*** argv);

}  // namespace polyhead
