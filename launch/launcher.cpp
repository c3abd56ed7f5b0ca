// Who started this process, from the environment that launchers set.
#include "launch/launcher.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
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

int launched_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const char* value = std::getenv(name)) return std::atoi(value);
  return -1;
}

std::string launched_job() {
  std::string job;
  if (is_set("PMIX_NAMESPACE"))
    job = std::getenv("PMIX_NAMESPACE");
  else if (is_set("SLURM_JOB_ID"))
    job =
        fmt::format("{}-{}", std::getenv("SLURM_JOB_ID"), is_set("SLURM_STEP_ID") ? std::getenv("SLURM_STEP_ID") : "");
  std::ranges::replace_if(
      job, [](char letter) { return !std::isalnum(static_cast<unsigned char>(letter)); }, '-');
  return job;
}

bool launched_on_one_host() {
  if (is_set("OMPI_COMM_WORLD_LOCAL_SIZE")) return number_in("OMPI_COMM_WORLD_LOCAL_SIZE") == launched_processes();
  return is_set("SLURM_STEP_NUM_NODES") && number_in("SLURM_STEP_NUM_NODES") == 1;
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
