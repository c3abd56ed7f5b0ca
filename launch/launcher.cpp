// Who started this process, from the environment that launchers set.
#include "launch/launcher.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/error.h"

namespace polyhead {
namespace {

bool is_set(const char* name) {
  return std::getenv(name) != nullptr;
}

int number_in(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? 1 : std::max(1, std::atoi(value));
}

}  // namespace

bool started_by_mpi() {
  return is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK") || is_set("PMI_RANK");
}

int launched_processes() {
  if (is_set("OMPI_COMM_WORLD_SIZE")) return number_in("OMPI_COMM_WORLD_SIZE");
  if (is_set("PMI_SIZE")) return number_in("PMI_SIZE");
  return number_in("SLURM_STEP_NUM_TASKS");  // of srun, not of the batch script around it
}

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "?";
}

std::unique_ptr<Communicator> make_world(int* argc, char*** argv) {
  if (started_by_mpi()) return make_mpi_communicator(argc, argv);
  if (const int tasks = launched_processes(); tasks > 1)
    throw Error(Exit::config,
                fmt::format("srun started {} tasks without PMIx, so they cannot find each other; start them with "
                            "'srun --mpi=pmix' or with mpirun",
                            tasks));
  return make_local_communicator();
}

}  // namespace polyhead
