// Stands in for the mpi backend's library in a program built without MPI.
#include "distributed/communicator/libraries.h"

namespace polyhead {

Library mpi_library() {
  return {.name = "MPI", .note = "built without it: one worker"};
}

}  // namespace polyhead
