// See micro_batch.h.
#include "distributed/step/micro_batch.h"

#include "core/heads/plain_loss.h"
#include "core/model/task_attention.h"

namespace polyhead {

MicroBatchLoss micro_batch_loss(const Model& model, const Batch& batch, const std::map<std::size_t, Lesson>& lessons,
                                const LossOptions& options, const StepRecord& step) {
  const std::vector<HeadInput> inputs = model.forward(batch, true);
  MicroBatchLoss loss;
  const auto add = [&](const torch::Tensor& sum, double weight, double count) {
    const torch::Tensor share = sum * (weight / count);
    loss.total = loss.total.defined() ? loss.total + share : share;
  };
  PlainLoss plain_loss;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const TaskSlice& slice = batch.slices[i];
    const std::size_t task = slice.task;
    loss.sums.emplace_back();
    loss.plain.emplace_back();
    if (slice.count > 0) {
      const Head& head = model.head(task);
      const auto lesson = lessons.find(i);
      loss.sums.back() = lesson == lessons.end() ? head.loss(inputs[i], slice)
                                                 : head.distilled_loss(inputs[i], slice, lesson->second.distillation());
      loss.plain.back() = plain_loss.take();
      if (step.active(task)) add(loss.sums.back(), options.weights[task], step.divisor(task));
    }
    // An active task gets the bonus even if its words in this micro-batch have no targets, so that the sum does not
    // depend on the placement.
    if (options.entropy_bonus > 0 && step.active(task))
      add(task_entropy(inputs[i].task_weights, model.encoder().first_slot()).sum(),
          -options.weights[task] * options.entropy_bonus, static_cast<double>(step.words[task]));
  }
  return loss;
}

void add_losses(const MicroBatchLoss& loss, const Batch& batch, const Gradients& gradients, StepRecord& step) {
  for (std::size_t i = 0; i < loss.sums.size(); ++i) {
    if (!loss.sums[i].defined()) continue;
    const std::size_t task = batch.slices[i].task;
    step.loss[task] += gradients.rounded(loss.sums[i].item<double>());
    if (loss.plain[i].defined() && !step.plain_loss.empty())
      step.plain_loss[task] += gradients.rounded(loss.plain[i].item<double>());
  }
}

}  // namespace polyhead
