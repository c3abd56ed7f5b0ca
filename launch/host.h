// What a worker finds on its host: its share of the CPUs, its threads and its device.
#pragma once

#include "distributed/communicator/communicator.h"
#include "distributed/options.h"

namespace polyhead {

// The number of CPUs in this process's affinity mask, and of workers on this host with the same mask.
struct CpuShare {
  int cpus = 1, workers = 1;
  int threads() const { return cpus > workers ? cpus / workers : 1; }  // compute threads per worker
};
// Collective.
CpuShare cpus_from_affinity(Communicator& world);

// Fills in what depends on the host of this worker. Collective; throws as resolve_device().
// - threads, if 0 is given: 1 with run.reproducible = world, whose bits depend on it; otherwise OMP_NUM_THREADS, or
//   this worker's share of the CPUs.
// - device, if auto is given; local_rank and worker_threads.
void resolve_host(TrainOptions& options, const CpuShare& cpus, Communicator& world);

}  // namespace polyhead
