// The forward and backward passes of a step on one worker.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/heads/model.h"
#include "datasets/sampling/loader.h"
#include "distributed/communicator/communicator.h"
#include "distributed/options.h"
#include "distributed/step/balance.h"
#include "distributed/step/gradients.h"
#include "distributed/step/micro_batch.h"
#include "distributed/step/sketched_gradients.h"
#include "distributed/worker/teacher.h"

namespace polyhead {

// What a worker trains on in a step, and the same samples by task if the step reports on gradients.
struct StepBatches {
  Loader::Step step;
  std::vector<Batch> by_task;
};

class Passes {
 public:
  // All that is referred to must outlive this object.
  Passes(const TrainOptions& options, const Model& model, Teachers& teachers, Balance& balance, Gradients& gradients,
         Communicator& world)
      : options_(options),
        model_(model),
        teachers_(teachers),
        balance_(balance),
        gradients_(gradients),
        world_(world) {}

  // Makes the gradients of the step from this worker's micro-batches, and adds their losses to the record. Afterwards
  // record.finite is false if they cannot be added. Collective.
  void run(const std::vector<Batch>& batches, StepRecord& record);
  // Returns the inner products of the gradients of the tasks' mean losses, [tasks, tasks], from sketches of size
  // sketched_size(). Each batch holds samples of one task. The model's gradients are used as memory. Collective.
  SquareMatrix measure(const std::vector<Batch>& batches, const StepRecord& record);
  std::int64_t sketched_size() const { return sketches_ ? sketches_->size() : 0; }

 private:
  MicroBatchLoss forward(const Batch& batch, const StepRecord& record) const;
  void backward(const MicroBatchLoss& loss, const std::vector<double>& weights, const StepRecord& record) const;
  std::vector<double> weigh_by_losses(const StepRecord& record);

  const TrainOptions& options_;
  const Model& model_;
  Teachers& teachers_;
  Balance& balance_;
  Gradients& gradients_;
  Communicator& world_;
  std::optional<SketchedGradients> sketches_;  // from the first measure() on
};

}  // namespace polyhead
