// See passes.h.
#include "distributed/training/passes.h"

#include <limits>
#include <map>

#include "distributed/communicator/timeline.h"

namespace polyhead {

MicroBatchLoss Passes::forward(const Batch& batch, const StepRecord& record) const {
  std::map<std::size_t, Lesson> lessons;
  if (!teachers_.empty()) {
    const Phase phase("teachers");
    lessons = teachers_.read(batch);
  }
  const Phase phase("forward");
  return micro_batch_loss(model_, batch, lessons, options_.attention.entropy_bonus, record);
}

void Passes::backward(const MicroBatchLoss& loss, const std::vector<double>& weights, const StepRecord& record) const {
  const Phase phase("backward");
  const torch::Tensor total = loss.total({weights, options_.attention.entropy_bonus}, record);
  // An entropy bonus alone needs no gradient while the encoder is frozen.
  if (total.defined() && total.requires_grad()) total.backward();
}

void Passes::run(const std::vector<Batch>& batches, StepRecord& record) {
  const bool exact = options_.surgery.exact;
  std::vector<double> weights;
  if (!exact) weights = balance_.loss_weights(record);
  gradients_.begin(record);
  const Batch* last = nullptr;
  for (const Batch& batch : batches)
    if (!batch.slices.empty()) last = &batch;
  if (exact && last == nullptr) weigh_by_losses(record);
  for (const Batch& batch : batches) {
    if (batch.slices.empty()) continue;
    const MicroBatchLoss loss = forward(batch, record);
    add_losses(loss, gradients_, record);
    if (exact) weights = weigh_by_losses(record);
    gradients_.before_backward(batch, &batch == last);
    backward(loss, weights, record);
    if (!gradients_.after_backward(batch)) record.finite = false;
  }
  gradients_.finish(record);
}

// Returns the weights that follow from the losses of this step, between forward and backward of the only micro-batch.
std::vector<double> Passes::weigh_by_losses(const StepRecord& record) {
  std::vector<double> losses = record.loss;
  world_.all_reduce("losses of the step", losses);
  for (std::size_t task = 0; task < losses.size(); ++task)
    losses[task] = record.active(task) ? losses[task] / record.divisor(task) : std::numeric_limits<double>::quiet_NaN();
  return balance_.loss_weights(record, losses);
}

SquareMatrix Passes::measure(const std::vector<Batch>& batches, const StepRecord& record) {
  const Phase phase("gradient report");
  const torch::Tensor gradients = model_.encoder().arena().gradients();
  const std::vector<double> weights(record.targets.size(), 1);
  if (!sketches_)
    sketches_.emplace(gradients.numel(), options_.surgery.sketch_size, gradients.device(), weights.size());
  sketches_->begin();
  for (const Batch& batch : batches) {
    if (batch.slices.empty()) continue;
    gradients.zero_();
    backward(forward(batch, record), weights, record);
    sketches_->add(batch.slices.front().task, gradients);
  }
  return sketches_->inner_products(world_);
}

}  // namespace polyhead
