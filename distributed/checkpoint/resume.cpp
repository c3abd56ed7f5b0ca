// See resume.h.
#include "distributed/checkpoint/resume.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "distributed/checkpoint/fingerprint.h"
#include "distributed/checkpoint/load.h"
#include "distributed/checkpoint/snapshot.h"

namespace polyhead {

void check_of_this_run(const TrainOptions& options, const CheckpointState& state) {
  std::vector<std::string> tasks;
  for (const TrainedTask& task : state.model.tasks) tasks.push_back(task.name);
  if (tasks != options.tasks)
    throw Error(Exit::data, fmt::format("the checkpoint of step {} has the tasks {}, but this run has {}: it belongs "
                                        "to another run",
                                        state.step, fmt::join(tasks, ", "), fmt::join(options.tasks, ", ")));
  const std::vector<std::int64_t>& quota = state.mixture.front().quota;
  if (const auto batch = std::accumulate(quota.begin(), quota.end(), std::int64_t{0}); batch != options.mixture.batch)
    throw Error(Exit::data, fmt::format("the checkpoint of step {} has mixture[0].quota of {} samples per step, but "
                                        "mixture.batch is {}: it belongs to another run",
                                        state.step, batch, options.mixture.batch));
}

CheckpointState load_resumed(const std::string& folder, const TrainOptions& options,
                             const ModelDescription& description, Model& model, Optimizers& optimizers,
                             const std::vector<std::size_t>& led, Communicator& world,
                             const std::function<void(const std::string&)>& warn) {
  CheckpointState state = read_checkpoint_state(folder);
  if (state.step > options.steps)
    throw Error(Exit::config, fmt::format("run.steps = {}: the run has made {} steps already; give {} or more",
                                          options.steps, state.step, state.step));
  if (world.rank() == 0 && !state.threads.empty() && state.threads != options.worker_threads)
    warn(
        fmt::format("threads per worker: {} before, {} now (run.threads); with another number of threads, the results "
                    "are not bitwise equal to those of a run that was never interrupted",
                    threads_by_worker(state.threads), threads_by_worker(options.worker_threads)));
  load_checkpoint(folder, state, model, &optimizers);
  if (const std::uint64_t loaded = parameter_hash(model, description, led, world); loaded != state.parameter_hash)
    throw Error(Exit::data, fmt::format("{}: the parameters that worker {} loaded have the hash {}, expected {}",
                                        folder, world.rank(), to_hex(loaded), to_hex(state.parameter_hash)));
  return state;
}

}  // namespace polyhead
