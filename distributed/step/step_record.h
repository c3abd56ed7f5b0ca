// The numbers of one step by task, and the two small all-reduces that make them equal on all workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/batch.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

struct StepRecord {
  // with_plain_loss: whether any task reports its loss without label smoothing; with_weights: whether any task has
  // weights of samples.
  StepRecord(std::size_t tasks, bool with_plain_loss, bool with_weights = false);

  std::int64_t number = 1;            // of the step, counted from 1
  std::vector<std::int64_t> samples;  // [tasks] in the step's batch, over all workers
  bool encoder_frozen = false;        // its gradients are 0 and are not summed

  // Summed over all workers by reduce_counts(), before backward.
  std::vector<std::int64_t> targets;  // [tasks] valid targets; 0: the task is not active
  // [tasks] sums of the weights of the valid targets, on the grid of core/base/grid.h; 0: the task is not active.
  // Empty: no task has weights.
  std::vector<double> weighted;
  std::vector<std::int64_t> words;  // [tasks] input tokens
  std::int64_t tokens = 0;          // of inputs and targets
  std::uint64_t ids = 0;            // of the samples, mod 2^64 (Loader::Step)

  // Summed over all workers by reduce_outcome(), after backward.
  std::vector<double> loss;        // [tasks] sums over the targets
  std::vector<double> plain_loss;  // [tasks] without label smoothing; empty: no task reports it
  double waited = 0;               // seconds waited for data
  // Squared norm of the encoder's gradient, if each worker has computed a slice of it; before that, of the slice.
  std::optional<double> square;
  // Bytes that this worker sent for the encoder's gradient, if a balancer of gradients combined it.
  double sent = 0;
  // True on all workers when true on any.
  bool finite = true;  // the opposite: false when false on any
  bool interrupted = false, save = false;

  // What the sum of a task's losses is divided by.
  double divisor(std::size_t task) const {
    return weighted.empty() ? static_cast<double>(targets[task]) : weighted[task];
  }
  bool active(std::size_t task) const { return targets[task] > 0 && divisor(task) > 0; }
  double mean_loss(std::size_t task) const { return loss[task] / divisor(task); }
  double mean_plain_loss(std::size_t task) const { return plain_loss[task] / divisor(task); }

  void count(const Batch& batch);            // adds a micro-batch of this worker
  void reduce_counts(Communicator& world);   // collective
  void reduce_outcome(Communicator& world);  // collective

  // The number of bytes in the two all-reduces. If a task has weights, there is a third one, of a double for each task.
  static std::size_t count_bytes(std::size_t tasks);
  static std::size_t outcome_bytes(std::size_t tasks);
};

}  // namespace polyhead
