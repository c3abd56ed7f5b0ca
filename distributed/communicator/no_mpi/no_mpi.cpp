// Stands in for the mpi backend in a program built without MPI.
#include "core/base/error.h"
#include "distributed/communicator/mpi/mpi.h"

namespace polyhead {

bool mpi_available() {
  return false;
}

std::unique_ptr<Communicator> make_mpi_communicator(int*, char***) {
  throw Error(
      Exit::config,
      "several workers were requested, but this program was built without MPI: configure with -DPOLYHEAD_MPI=ON "
      "(Debian: libopenmpi-dev) and build again, or run one worker");
}

}  // namespace polyhead
