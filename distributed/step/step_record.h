// The numbers of one step by task, and the two small all-reduces that make them equal on all workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/batch.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

struct StepRecord {
  // with_plain_loss: whether any task reports its loss without label smoothing.
  StepRecord(std::size_t tasks, bool with_plain_loss);

  std::vector<std::int64_t> samples;  // [tasks] in the step's batch, over all workers
  bool encoder_frozen = false;        // its gradients are 0 and are not summed

  // Summed over all workers by reduce_counts(), before backward.
  std::vector<std::int64_t> targets;  // [tasks] valid targets; 0: the task is not active
  std::vector<std::int64_t> words;    // [tasks] input tokens
  std::int64_t tokens = 0;            // of inputs and targets
  std::uint64_t ids = 0;              // of the samples, mod 2^64 (Loader::Step)

  // Summed over all workers by reduce_outcome(), after backward.
  std::vector<double> loss;        // [tasks] sums over the targets
  std::vector<double> plain_loss;  // [tasks] without label smoothing; empty: no task reports it
  double waited = 0;               // seconds waited for data
  // True on all workers when true on any.
  bool finite = true;  // the opposite: false when false on any
  bool interrupted = false, save = false;

  bool active(std::size_t task) const { return targets[task] > 0; }
  double mean_loss(std::size_t task) const { return loss[task] / static_cast<double>(targets[task]); }
  double mean_plain_loss(std::size_t task) const { return plain_loss[task] / static_cast<double>(targets[task]); }

  void count(const Batch& batch);            // adds a micro-batch of this worker
  void reduce_counts(Communicator& world);   // collective
  void reduce_outcome(Communicator& world);  // collective

  // The number of bytes in the two all-reduces.
  static std::size_t count_bytes(std::size_t tasks);
  static std::size_t outcome_bytes(std::size_t tasks);
};

}  // namespace polyhead
