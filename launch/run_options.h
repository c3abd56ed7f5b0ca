// From the options of a training run to the structs that the rooms below are handed.
#pragma once

#include "datasets/manifest.h"
#include "distributed/communicator/communicator.h"
#include "distributed/trainer.h"
#include "launch/effects.h"
#include "launch/options.h"

namespace polyhead {

// Fills in what follows from the data set (run.tasks, run.data_hash and, per task, what depends on its kind) and from
// the tasks' teachers, whose checkpoints it reads, checks the values against each other and against the data set
// (Error(config) with where the value came from; Error(data) for a damaged teacher), and returns the structs. `config`
// is then the resolved configuration, as config.ini keeps it. Threads and device are left as config says; 0 and auto
// included.
TrainOptions train_options_of(Config& config, const Manifest& manifest);

// Finds the weights that a new run starts from, if any, for train_options_of's `options`, and fills in what config.ini
// keeps of them. `has_weights`: the run has a checkpoint of its own, so that they are not read. Throws as
// resolve_initial_weights, and Error(config) when they have changed since the run began.
void resolve_initial(Config& config, TrainOptions& options, const Manifest& manifest, bool has_weights);

TaskKinds kinds_of(const Manifest& manifest);
// Throws Error(config) for an option that a person gave and that has no effect (launch/effects.h). before: the
// configuration of the run that is resumed, whose values are let pass; may be null.
void require_effects_of(const Config& config, const Manifest& manifest, const Config* before);

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

// Fills in what follows from where this worker runs: threads where 0 is asked for (OMP_NUM_THREADS, or this worker's
// share of the CPUs; 1 with run.reproducible = world, of whose bits their number is a part), the device where auto is,
// local_rank and worker_threads. Collective; throws as resolve_device().
void resolve_host(TrainOptions& options, const CpuShare& cpus, Communicator& world);

}  // namespace polyhead
