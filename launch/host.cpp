// Finds out what this worker's host offers: CPUs, threads and a device.
#include "launch/host.h"

#include <sched.h>

#include <algorithm>
#include <string>

#include "core/base/host.h"
#include "core/model/device.h"
#include "launch/threads.h"

namespace polyhead {

CpuShare cpus_from_affinity(Communicator& world) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  // If there are more CPUs than a cpu_set_t holds, their number is not known, and one thread is used.
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) CPU_SET(0, &mask);
  std::string mine = host_name() + " ";
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) mine += CPU_ISSET(cpu, &mask) ? '1' : '0';
  const std::vector<std::string> all = world.all_gather_strings("launch.affinity", mine);
  return {CPU_COUNT(&mask), static_cast<int>(std::ranges::count(all, mine))};
}

void resolve_host(TrainOptions& options, const CpuShare& cpus, Communicator& world) {
  if (options.threads == 0 && options.micro_batch > 0) options.threads = 1;
  if (options.threads == 0) options.threads = threads_of_environment();
  if (options.threads == 0) options.threads = cpus.threads();
  options.device = resolve_device(options.device);
  const std::vector<std::string> hosts = world.all_gather_strings("launch.hosts", host_name());
  for (int rank = 0; rank < world.rank(); ++rank)
    options.local_rank += hosts[static_cast<std::size_t>(rank)] == hosts[static_cast<std::size_t>(world.rank())];
  options.worker_threads.clear();
  for (const std::string& threads : world.all_gather_strings("launch.threads", std::to_string(options.threads)))
    options.worker_threads.push_back(std::stoi(threads));
  if (std::ranges::count(options.worker_threads, options.worker_threads.front()) == world.size())
    options.worker_threads.resize(1);
}

}  // namespace polyhead
