// From the options of a training run to the structs that the rooms below are handed.
#pragma once

#include "datasets/manifest.h"
#include "distributed/communicator/communicator.h"
#include "distributed/trainer.h"
#include "launch/options.h"

namespace polyhead {

// Fills in what follows from the data set (run.tasks, run.data_hash and, per task, what depends on its kind) and from
// the tasks' teachers, whose checkpoints it reads, checks the values against each other and against the data set
// (Error(config) with where the value came from; Error(data) for a damaged teacher), and returns the structs. `config`
// is then the resolved configuration, as config.ini keeps it. Threads and device are left as config says; 0 and auto
// included.
TrainOptions train_options_of(Config& config, const Manifest& manifest);

// The tasks that run.tasks (or another list option) names, in the data set's order; all when it is empty. Throws
// Error(config) for an unknown or repeated name.
std::vector<std::string> chosen_tasks(const Config& config, const std::string& option, const Manifest& manifest);

// The CPUs of this process' affinity mask, and the workers of this host that have the same mask.
struct CpuShare {
  int cpus = 1, workers = 1;
  int threads() const { return cpus > workers ? cpus / workers : 1; }  // computing threads a worker
};
// Collective.
CpuShare cpus_from_affinity(Communicator& world);

// Fills in what follows from where this worker runs: threads where 0 is asked for (1 with run.reproducible = world, of
// whose bits their number is a part), the device where auto is, local_rank and worker_threads. Collective; throws as
// resolve_device().
void resolve_host(TrainOptions& options, const CpuShare& cpus, Communicator& world);

}  // namespace polyhead
