// Checks the launcher, and compares the workers' compute threads with the CPUs that they may use.
#include <fmt/format.h>

#include "launch/doctor/doctor.h"

namespace polyhead {

std::vector<Finding> look_at_launcher(const Launcher& launcher, int workers) {
  Finding finding{.subject = "launcher"};
  finding.values = {{"name", launcher.name}, {"because", launcher.because}, {"processes", launcher.processes}};
  finding.text = launcher.because.empty()
                     ? "none: one worker"
                     : fmt::format("{}, according to {}; MPI's world has {}", launcher.name, launcher.because, workers);
  if (const std::string alone = alone_in_job(launcher); !alone.empty()) {
    finding.verdict = Verdict::warning;
    const auto cut = alone.find("; ");
    finding.text = alone.substr(0, cut), finding.cure = alone.substr(cut + 2);
  }
  return {finding};
}

std::vector<Finding> look_at_threads(int threads, int cpus, int workers_with_same_cpus, int omp_threads) {
  Finding finding{.subject = "threads"};
  const int each = omp_threads > 0 ? omp_threads : threads;
  finding.text = fmt::format("{} {} on {} {} ({}), {} {}", workers_with_same_cpus,
                             workers_with_same_cpus == 1 ? "worker" : "workers", cpus, cpus == 1 ? "CPU" : "CPUs",
                             "by the affinity mask", each, omp_threads > 0 ? "each by OMP_NUM_THREADS" : "each");
  finding.values = {{"threads", each}, {"cpus", cpus}, {"workers", workers_with_same_cpus}};
  if (each * workers_with_same_cpus > cpus) {
    finding.verdict = Verdict::warning;
    finding.cure = workers_with_same_cpus > cpus
                       ? "start at most one worker per CPU; if they must share CPUs, set "
                         "OMPI_MCA_mpi_yield_when_idle=1 (launch/local "
                         "does)"
                       : fmt::format("set OMP_NUM_THREADS or run.threads to at most {}", cpus / workers_with_same_cpus);
  }
  return {finding};
}

}  // namespace polyhead
