// The checks of `polyhead doctor`, one file per subject. Each returns findings about this process or its host.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "distributed/communicator/communicator.h"
#include "launch/launcher.h"

namespace polyhead {

enum class Verdict { ok, warning, fault };  // fault: something will not work

struct Finding {
  std::string subject;  // "/dev/shm"
  Verdict verdict = Verdict::ok;
  std::string text = {};                             // what was found
  std::string cure = {};                             // what to do about a warning or fault
  nlohmann::json values = nlohmann::json::object();  // measured values, for scripts

  bool operator==(const Finding&) const = default;
};

nlohmann::json json_of(const Finding& finding);
Finding finding_of(const nlohmann::json& json);

std::vector<Finding> look_at_libraries();
// Compares the number of CUDA devices with the workers of this host.
std::vector<Finding> look_at_devices(int workers_here);
std::vector<Finding> look_at_launcher(const Launcher& launcher, int workers);
// Checks the network interfaces; a missing one is a fault if there are several hosts.
std::vector<Finding> look_at_interfaces(int hosts);
std::vector<Finding> look_at_shared_memory(const std::filesystem::path& folder, int workers_here);
std::vector<Finding> look_at_limits();
// Compares the compute threads of this host's workers with its CPUs. omp_threads: OMP_NUM_THREADS; 0 if it is not set.
std::vector<Finding> look_at_threads(int threads, int cpus, int workers_with_same_cpus, int omp_threads);
// Checks free space and the time of fsync in the run folder, and whether all hosts see the same folder. Collective;
// every worker gets its own findings.
std::vector<Finding> look_at_run_folder(const std::filesystem::path& folder, Communicator& world);

// A pair of workers.
struct Link {
  int first = 0, second = 0;
  double latency = 0;    // seconds, one way, 8 bytes
  double bandwidth = 0;  // bytes/s, one way, 4 MiB
};
// Measures messages back and forth between pairs of workers, one pair after another, and returns medians: all pairs for
// up to 8 workers, otherwise each worker with the next one. Collective; all workers get the same result.
std::vector<Link> measure_links(Communicator& world);

}  // namespace polyhead
