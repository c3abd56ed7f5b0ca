// `polyhead train`: options to structs, the run folder, the training loop, and how it ended.
#include <fmt/format.h>
#include <unistd.h>

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "core/base/error.h"
#include "distributed/trainer.h"
#include "launch/commands/commands.h"
#include "launch/doctor/doctor.h"
#include "launch/fingerprint.h"
#include "launch/handshake.h"
#include "launch/launcher.h"
#include "launch/program.h"
#include "launch/run_folder.h"
#include "launch/run_observer.h"
#include "launch/run_options.h"
#include "launch/signals.h"

namespace polyhead {
namespace {

// Freed tensors stay with the process: returning their pages to the system at every step costs page faults.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2000 << 20);
  mallopt(M_TOP_PAD, 64 << 20);
}

void require(const Config& config, const std::string& name, const char* option) {
  if (!config.has(name))
    throw Error(Exit::config,
                fmt::format("{} is not given; add {} DIR, or {} to the configuration file", name, option, name));
}

// What will train, but not as one would want; on stderr, once.
void warn_of_start(const TrainOptions& options, const CpuShare& cpus, Communicator& world) {
  const int threads = options.threads;
  if (const auto& all = options.worker_threads; world.rank() == 0 && all.size() > 1)
    fmt::print(stderr,
               "warning: the workers compute with different numbers of threads ({}), on which the bits of a run "
               "depend: --run.threads {} gives all of them the same\n",
               threads_by_worker(all), *std::ranges::min_element(all));
  std::string mine;
  if (threads * cpus.workers > cpus.cpus && cpus.workers > 1) {
    const Finding found = look_at_threads(threads, cpus.cpus, cpus.workers, 0)[0];
    mine = fmt::format("{}: {}; {}", host_name(), found.text, found.cure);
  } else {
    mine = alone_in_job(find_launcher());
  }
  const std::vector<std::string> all = world.all_gather_strings("launch.warnings", mine);
  const auto first = std::ranges::find_if(all, [](const std::string& one) { return !one.empty(); });
  if (world.rank() == 0 && first != all.end()) fmt::print(stderr, "warning: {}\n", *first);
}

// A signal came before there was anything to save.
int end_before_start(const std::filesystem::path& run_dir, Communicator& world) {
  if (world.rank() == 0) {
    note_preempted(run_dir);
    fmt::print(stderr, "stopped by a signal before training began; the same command begins again\n");
  }
  return static_cast<int>(Exit::preempted);
}

}  // namespace

int run_train(const Config& given, Communicator& world) {
  keep_freed_memory();
  Config config = given;
  require(config, "run.data", "--data");
  const Manifest manifest = read_manifest(config.path("run.data"));
  TrainOptions options = train_options_of(config, manifest);
  if (config.flag("print-config")) {
    if (world.rank() == 0) std::puts(config.ini(true).c_str());
    return 0;
  }
  require(config, "run.run_dir", "--run-dir");
  const CpuShare cpus = cpus_from_affinity(world);
  resolve_host(options, cpus, world);
  if (options.micro_batch > 0) options.fingerprint = fingerprint(options.threads);
  compare_training(config, options, manifest, world);
  warn_of_start(options, cpus, world);

  // Only rank 0 looks at the folder, before anybody writes.
  std::vector<std::int64_t> agreed = {0, stop_requested() ? 1 : 0};  // the run goes on; a signal has come
  std::optional<RunLock> lock;
  if (world.rank() == 0) {
    agreed[0] = check_run_folder(config) == FolderState::holds_run;
    lock.emplace(options.run_dir);
    begin_run_folder(config);
  }
  world.all_reduce("launch.run_folder", agreed, Reduce::max);
  if (agreed[1] != 0) return end_before_start(options.run_dir, world);
  try {
    catch_lost_files([run_dir = options.run_dir](const std::string& what) {
      note_failure(run_dir, static_cast<int>(Exit::data), what);
    });
    RankLog log(options.run_dir, world.rank());
    log.line(fmt::format("worker {} of {} on {}, process {}, {} threads, {}", world.rank(), world.size(), host_name(),
                         getpid(), options.threads, options.device));
    std::unique_ptr<RunObserver> observer;
    if (world.rank() == 0)
      observer = std::make_unique<RunObserver>(
          options.run_dir, options.stop_at > 0 ? std::min(options.stop_at, options.steps) : options.steps, stderr);
    const std::optional<TrainResult> trained = train(options, world, observer.get(), stop_requested(), agreed[0] != 0);
    if (!trained) return end_before_start(options.run_dir, world);
    log.line(fmt::format("ended after step {}", trained->step));
    if (observer) return observer->finish(*trained);
    return static_cast<int>(trained->ending == Ending::preempted ? Exit::preempted : Exit::done);
  } catch (const Error& error) {
    note_failure(options.run_dir, static_cast<int>(error.code()), error.what());
    throw;
  } catch (const std::exception& error) {
    note_failure(options.run_dir, static_cast<int>(Exit::internal), words_of(error));
    throw;
  }
}

}  // namespace polyhead
