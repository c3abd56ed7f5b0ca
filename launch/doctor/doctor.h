// What `polyhead doctor` looks at: each subject in a file of its own, as findings about this process or its host.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "distributed/communicator/communicator.h"
#include "launch/launcher.h"

namespace polyhead {

enum class Verdict { ok, warning, fault };  // a fault: something will not work

struct Finding {
  std::string subject;  // "/dev/shm"
  Verdict verdict = Verdict::ok;
  std::string text = {};                             // what was found
  std::string cure = {};                             // for a warning or a fault
  nlohmann::json values = nlohmann::json::object();  // the numbers, for scripts

  bool operator==(const Finding&) const = default;
};

nlohmann::json json_of(const Finding& finding);
Finding finding_of(const nlohmann::json& json);

std::vector<Finding> look_at_libraries();
// CUDA devices against the workers of this host.
std::vector<Finding> look_at_devices(int workers_here);
std::vector<Finding> look_at_launcher(const Launcher& launcher, int workers);
// Network interfaces; a missing one is a fault where there are several hosts.
std::vector<Finding> look_at_interfaces(int hosts);
std::vector<Finding> look_at_shared_memory(const std::filesystem::path& folder, int workers_here);
std::vector<Finding> look_at_limits();
// Computing threads of this host's workers against its CPUs. `omp_threads`: OMP_NUM_THREADS, 0 where it is not set.
std::vector<Finding> look_at_threads(int threads, int cpus, int workers_with_same_cpus, int omp_threads);
// Space and the time of fsync where run folders lie, and whether all hosts see the same. Collective; every worker gets
// its own findings.
std::vector<Finding> look_at_run_folder(const std::filesystem::path& folder, Communicator& world);

// One pair of workers.
struct Link {
  int first = 0, second = 0;
  double latency = 0;    // seconds, one way, 8 bytes
  double bandwidth = 0;  // bytes/s, one way, 4 MiB
};
// Medians of messages to and fro, one pair after another: all pairs of up to 8 workers, else each worker with the next.
// Collective; all get the same.
std::vector<Link> measure_links(Communicator& world);

}  // namespace polyhead
