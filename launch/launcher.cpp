// Detects the launcher from the environment variables that launchers set.
#include "launch/launcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "core/base/error.h"
#include "distributed/communicator/local/local.h"
#include "distributed/communicator/mpi/mpi.h"

namespace polyhead {
namespace {

bool is_set(const char* name) {
  return std::getenv(name) != nullptr;
}

// Returns the variable's number, but at least `least`, which is also the result if it is not set.
int number_in(const char* name, int least = 1) {
  const char* value = std::getenv(name);
  return value == nullptr ? least : std::max(least, std::atoi(value));
}

std::string quote(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : fmt::format("{}={}", name, value);
}

}  // namespace

Launcher find_launcher() {
  // mpirun comes first, because inside a job its workers also have Slurm's variables.
  if (is_set("OMPI_COMM_WORLD_SIZE"))
    return {"mpirun", quote("OMPI_COMM_WORLD_SIZE"), number_in("OMPI_COMM_WORLD_SIZE"),
            number_in("OMPI_COMM_WORLD_RANK", -1), true};
  const bool step = is_set("SLURM_STEP_NUM_TASKS");  // set by srun, not by the batch script around it
  if (is_set("PMIX_RANK"))
    return {step ? "srun with PMIx" : "a launcher with PMIx", quote(step ? "SLURM_STEP_NUM_TASKS" : "PMIX_RANK"),
            number_in("SLURM_STEP_NUM_TASKS"), number_in("PMIX_RANK", -1), true};
  if (is_set("PMI_SIZE") || is_set("PMI_RANK")) {
    const char* size = is_set("PMI_SIZE") ? "PMI_SIZE" : "SLURM_STEP_NUM_TASKS";
    return {step ? "srun with PMI" : "mpiexec with PMI", quote(is_set(size) ? size : "PMI_RANK"), number_in(size),
            number_in("PMI_RANK", -1), true};
  }
  if (step && number_in("SLURM_STEP_NUM_TASKS") > 1)
    return {"srun without PMI", quote("SLURM_STEP_NUM_TASKS"), number_in("SLURM_STEP_NUM_TASKS"),
            number_in("SLURM_PROCID", -1), false};
  return {"none", "", 1, 0, false};
}

int launched_processes() {
  return find_launcher().processes;
}

std::string alone_in_job(const Launcher& launcher) {
  const int tasks = number_in("SLURM_NTASKS");
  if (launcher.name != "none" || tasks < 2) return {};
  return fmt::format(
      "the job has {} tasks ({}), but this process was started without srun or mpirun and works alone; start it "
      "with 'srun --mpi=pmix' or mpirun, as launch/slurm/train.sbatch does, or ask for one task",
      tasks, quote("SLURM_NTASKS"));
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

void check_world_size(const Launcher& launcher, int size) {
  if (launcher.processes == size) return;
  throw Error(
      Exit::config,
      fmt::format("{} started {} workers ({}), but MPI's world has {}: the launcher and the MPI library do not use the "
                  "same PMI, so each worker would train alone; {}",
                  launcher.name, launcher.processes, launcher.because, size,
                  launcher.name.starts_with("srun")
                      ? "start them with 'srun --mpi=pmix' ('srun --mpi=list' names what this Slurm has) or with the "
                        "mpirun of the MPI that the program was built with"
                      : "use the mpirun of the MPI that the program was built with ('polyhead doctor' names it)"));
}

std::unique_ptr<Communicator> make_world(int* argc, char*** argv) {
  const Launcher launcher = find_launcher();
  if (launcher.mpi) {
    auto world = make_mpi_communicator(argc, argv);
    // Some launchers do not give the number before MPI starts.
    if (launcher.processes > 1) check_world_size(launcher, world->size());
    return world;
  }
  if (launcher.processes > 1)
    throw Error(Exit::config,
                fmt::format("srun started {} tasks ({}) without PMIx, so they cannot find each other; start them with "
                            "'srun --mpi=pmix' or with mpirun",
                            launcher.processes, launcher.because));
  return make_local_communicator();
}

}  // namespace polyhead
