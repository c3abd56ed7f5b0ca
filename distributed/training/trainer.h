// The training loop: sampler, loader, forward, backward, gradient sync, optimizer; checkpoints and evaluation at
// boundaries.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "distributed/communicator/communicator.h"
#include "distributed/options.h"
#include "distributed/training/observer.h"

namespace polyhead {

enum class Ending { done, stopped, preempted };  // the last step was reached; by run.stop_at; by a signal

struct TrainResult {
  Ending ending = Ending::done;
  std::int64_t step = 0;
  std::uint64_t parameter_hash = 0;
  std::map<std::string, double> epochs = {};            // of each task, since step 1
  std::string why = {};                                 // why training ended before the last step, for a person
  std::int64_t best_step = 0;                           // of the best checkpoint; 0: none is kept
  std::map<std::string, std::int64_t> best_steps = {};  // of those by each value of run.best, if it has several
};

// Called on rank 0; empty on the other ranks.
using Observers = std::vector<Observer*>;

// Trains. All workers of `world` call it with equal options.
// - interrupt: becomes true when a signal requests to save and end. If it is true on any worker, all workers end after
//   the same step, or without a result if training has not begun.
// - resume: continue from the newest good checkpoint in run_dir/checkpoints, if there is one. The result then equals
//   that of a run that was never interrupted, bit for bit, with the same number of workers.
// Throws Error: config, data, cannot_write, diverged (kPatience steps in a row without a finite loss and gradient).
std::optional<TrainResult> train(const TrainOptions& options, Communicator& world, const Observers& observers,
                                 const std::atomic<bool>& interrupt, bool resume);

}  // namespace polyhead
