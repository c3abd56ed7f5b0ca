// `polyhead train`: converts options to structs, prepares the run folder, trains, and reports how the run ended.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "core/base/error.h"
#include "core/base/host.h"
#include "distributed/checkpoint/fence.h"
#include "distributed/checkpoint/fingerprint.h"
#include "distributed/training/trainer.h"
#include "launch/commands/commands.h"
#include "launch/doctor/doctor.h"
#include "launch/failure.h"
#include "launch/fingerprint.h"
#include "launch/handshake.h"
#include "launch/host.h"
#include "launch/inherit.h"
#include "launch/launcher.h"
#include "launch/notes.h"
#include "launch/run_folder.h"
#include "launch/run_lock.h"
#include "launch/run_logs.h"
#include "launch/run_observer.h"
#include "launch/run_options.h"
#include "launch/run_status.h"
#include "launch/say.h"
#include "launch/signals.h"
#include "launch/threads.h"

namespace polyhead {
namespace {

// The process keeps freed memory: returning its pages to the system in every step costs page faults.
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

// Warns once on stderr about a setup that works, but not well.
void warn_of_start(const TrainOptions& options, const CpuShare& cpus, Communicator& world) {
  const int threads = options.threads;
  if (const auto& all = options.worker_threads; world.rank() == 0 && all.size() > 1)
    say("warning: the workers compute with different numbers of threads ({}), which changes the bits of a run: "
        "--run.threads {} sets the same number for all of them\n",
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
  if (world.rank() == 0 && first != all.end()) say("warning: {}\n", *first);
}

// Ends the command after a signal that came before there was anything to save.
int end_before_start(const std::filesystem::path& run_dir, Communicator& world) {
  if (world.rank() == 0) {
    note_preempted(run_dir);
    say("stopped by a signal before training began; the same command starts again\n");
  }
  return static_cast<int>(Exit::preempted);
}

// Returns notes about the configuration for the user, one line each, to print before the first step.
std::vector<std::string> notes_of_start(const Inherited& inherited, const Config& given, const Config& config,
                                        const TrainOptions& options, const Manifest& manifest) {
  std::vector<std::string> notes = inherited.notes;
  for (const std::string& warning : options.initial.warnings)
    notes.push_back("warning: a checkpoint is skipped: " + warning);
  if (!inherited.before) return notes;
  std::vector<std::string> others;
  for (const TaskInfo& task : manifest.tasks)
    if (std::ranges::count(options.tasks, task.name) == 0) others.push_back(task.name);
  if (!others.empty() && given.given("run.tasks") == nullptr)
    notes.push_back(fmt::format("the run trains its own tasks; the data set also has {}", fmt::join(others, ", ")));
  for (const std::string& change : changes_on_resuming(*inherited.before, config)) notes.push_back(change);
  return notes;
}

void warn(const std::string& message) {
  say("warning: {}\n", message);
}

RunLockOptions lock_options() {
  const char* restart = std::getenv("SLURM_RESTART_COUNT");
  const char* job = std::getenv("SLURM_JOB_ID");
  return {.job = job == nullptr ? "" : job, .restart = restart == nullptr ? 0 : std::atoll(restart), .warn = warn};
}

// Records failures that no handler catches in the run folder.
void note_failures_in(const std::filesystem::path& run_dir) {
  catch_lost_files([run_dir](const std::string& what) { note_failure(run_dir, static_cast<int>(Exit::data), what); });
  report_uncaught("train", [run_dir](const Failure& failure) { note_failure(run_dir, failure.code, failure.words); });
}

}  // namespace

int run_train(const Config& given, Communicator& world) {
  keep_freed_memory();
  Config config = given;
  Inherited inherited = inherit(config, world);
  require(config, "run.data", "--data");
  const Manifest manifest = read_data_set(config);
  check_resumed(config, inherited, manifest, world);
  TrainOptions options = train_options_of(config, manifest, inherited.has_weights);
  const Config* before = inherited.before ? &*inherited.before : nullptr;
  require_effects_of(config, manifest, before);
  resolve_initial(config, options, manifest, inherited.has_weights);
  if (config.flag("print-config")) {
    if (world.rank() == 0) std::puts(config.ini(true).c_str());
    return 0;
  }
  require(config, "run.run_dir", "--run-dir");
  const CpuShare cpus = cpus_from_affinity(world);
  const ThreadChoice threads = settle_threads(config, options, cpus, world.size());
  options.threads = threads.threads;
  resolve_host(options, cpus, world);
  if (options.micro_batch > 0) options.fingerprint = fingerprint(options.threads);
  compare_training(config, options, manifest, world);
  warn_of_start(options, cpus, world);
  if (!threads.reason.empty()) say("{}\n", threads.reason);

  // Only rank 0 checks the folder, before any rank writes.
  std::vector<std::int64_t> agreed = {0, stop_requested() ? 1 : 0};  // the run is resumed; a signal has arrived
  std::optional<RunLock> lock;
  if (world.rank() == 0) {
    agreed[0] = check_run_folder(config) == FolderState::holds_run;
    for (const std::string& note : notes_of_start(inherited, given, config, options, manifest)) say("{}\n", note);
    for (const std::string& note : notes_of_options(config, options, manifest)) say("{}\n", note);
    lock.emplace(options.run_dir, lock_options());
    fence() = {.check = [&lock] { lock->check(); }, .token = lock->token()};
    begin_run_folder(config);
  }
  world.all_reduce("launch.run_folder", agreed, Reduce::max);
  if (agreed[1] != 0) return end_before_start(options.run_dir, world);
  try {
    note_failures_in(options.run_dir);
    RankLog log(options.run_dir, world.rank(), warn);
    log.line(fmt::format("worker {} of {} on {}, process {}, {} threads, {}", world.rank(), world.size(), host_name(),
                         getpid(), options.threads, options.device));
    std::unique_ptr<RunObserver> observer;
    if (world.rank() == 0) {
      observer = std::make_unique<RunObserver>(
          options.run_dir, options.stop_at > 0 ? std::min(options.stop_at, options.steps) : options.steps, stderr);
      observer->check_each_step([&lock] { lock->check_lately(); });
    }
    Observers observers;
    if (observer) observers.push_back(observer.get());
    const std::optional<TrainResult> trained = train(options, world, observers, stop_requested(), agreed[0] != 0);
    if (!trained) return end_before_start(options.run_dir, world);
    log.line(fmt::format("ended after step {}", trained->step));
    if (observer) return observer->finish(*trained);
    return static_cast<int>(trained->ending == Ending::preempted ? Exit::preempted : Exit::done);
  } catch (const std::exception& error) {
    const Failure failure = failure_of(error, "train");
    if (!lock || lock->held()) note_failure(options.run_dir, failure.code, failure.words);
    throw;
  }
}

}  // namespace polyhead
