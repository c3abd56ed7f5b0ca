// See micro_batch.h.
#include "distributed/step/micro_batch.h"

#include "core/heads/plain_loss.h"
#include "core/model/task_attention.h"

namespace polyhead {

torch::Tensor MicroBatchLoss::total(const LossOptions& options, const StepRecord& step) const {
  torch::Tensor total;
  const auto add = [&](const torch::Tensor& sum, double weight, double count) {
    if (!sum.defined()) return;
    const torch::Tensor share = sum * (weight / count);
    total = total.defined() ? total + share : share;
  };
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const std::size_t task = tasks[i];
    if (!step.active(task)) continue;
    add(sums[i], options.weights[task], step.divisor(task));
    add(bonus[i], -options.weights[task] * options.entropy_bonus, static_cast<double>(step.words[task]));
  }
  return total;
}

MicroBatchLoss micro_batch_loss(const Model& model, const Batch& batch, const std::map<std::size_t, Lesson>& lessons,
                                double entropy_bonus, const StepRecord& step) {
  const std::vector<HeadInput> inputs = model.forward(batch, true);
  MicroBatchLoss loss;
  PlainLoss plain_loss;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const TaskSlice& slice = batch.slices[i];
    loss.tasks.push_back(slice.task);
    loss.sums.emplace_back();
    loss.plain.emplace_back();
    loss.bonus.emplace_back();
    if (slice.count > 0) {
      const Head& head = model.head(slice.task);
      const auto lesson = lessons.find(i);
      loss.sums.back() = lesson == lessons.end() ? head.loss(inputs[i], slice)
                                                 : head.distilled_loss(inputs[i], slice, lesson->second.distillation());
      loss.plain.back() = plain_loss.take();
    }
    // An active task gets the bonus even if its words in this micro-batch have no targets, so that the sum does not
    // depend on the placement.
    if (entropy_bonus > 0 && step.active(slice.task))
      loss.bonus.back() = task_entropy(inputs[i].task_weights, model.encoder().first_slot()).sum();
  }
  return loss;
}

void add_losses(const MicroBatchLoss& loss, const Gradients& gradients, StepRecord& step) {
  for (std::size_t i = 0; i < loss.sums.size(); ++i) {
    if (!loss.sums[i].defined()) continue;
    const std::size_t task = loss.tasks[i];
    step.loss[task] += gradients.rounded(loss.sums[i].item<double>());
    if (loss.plain[i].defined() && !step.plain_loss.empty())
      step.plain_loss[task] += gradients.rounded(loss.plain[i].item<double>());
  }
}

}  // namespace polyhead
