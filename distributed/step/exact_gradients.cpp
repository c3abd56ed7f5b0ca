// Sums gradients as integers, so that the order of the terms does not change the bits.
#include <fmt/format.h>

#include <map>
#include <numeric>

#include "core/base/grid.h"
#include "core/model/exact_sum.h"
#include "distributed/step/gradients.h"

namespace polyhead {
namespace {

class ExactGradients : public Gradients {
 public:
  ExactGradients(const GradientScope& scope, std::int64_t micro_batch)
      : scope_(scope),
        micro_batch_(micro_batch),
        memory_(scope.world.allocate("encoder.gradients",
                                     static_cast<std::size_t>(encoder_gradients().numel()) * sizeof(std::int64_t))),
        encoder_(encoder_gradients().numel(), static_cast<std::int64_t*>(memory_->data())) {
    for (const auto& [task, head] : scope.model.heads()) heads_.try_emplace(task, head->arena().gradients().numel());
  }

  void begin(const StepRecord& step) override {
    encoder_gradients().zero_();
    for (const auto& [task, head] : scope_.model.heads()) head->arena().gradients().zero_();
    std::vector<std::int64_t> micro_batches;  // [tasks] of all workers
    for (const std::int64_t samples : step.samples)
      micro_batches.push_back((samples + micro_batch_ - 1) / micro_batch_);
    encoder_.begin(std::accumulate(micro_batches.begin(), micro_batches.end(), std::int64_t{0}));
    for (auto& [task, sum] : heads_) sum.begin(micro_batches.at(task));
  }

  bool after_backward(const Batch& batch) override {
    const std::size_t task = batch.slices.front().task;
    const bool shared = encoder_.accumulate(encoder_gradients());
    return heads_.at(task).accumulate(scope_.model.head(task).arena().gradients()) && shared;
  }

  void finish(StepRecord& step) override {
    if (!step.encoder_frozen) sum_over(scope_.world, "encoder.gradients", encoder_, encoder_gradients());
    for (auto& [task, sum] : heads_) {
      if (step.samples[task] > 0)
        sum_over(*scope_.groups[task], "head." + scope_.tasks[task], sum, scope_.model.head(task).arena().gradients());
    }
  }

  double rounded(double loss) const override { return on_grid(loss); }

  std::string limit() const override {
    return fmt::format(", or has an element of {} or more, which is too large for run.reproducible = world",
                       ExactSum::kLargest);
  }

 private:
  torch::Tensor encoder_gradients() const { return scope_.model.encoder().arena().gradients(); }

  static void sum_over(Communicator& group, const std::string& name, ExactSum& sum, const torch::Tensor& gradients) {
    group.all_reduce(name, sum.data(), static_cast<std::size_t>(sum.size()), DType::i64, Reduce::sum);
    sum.write_to(gradients);
  }

  GradientScope scope_;
  std::int64_t micro_batch_;
  std::unique_ptr<SharedBuffer> memory_;
  ExactSum encoder_;
  std::map<std::size_t, ExactSum> heads_;
};

}  // namespace

std::unique_ptr<Gradients> make_exact_gradients(const GradientScope& scope, std::int64_t micro_batch) {
  return std::make_unique<ExactGradients>(scope, micro_batch);
}

}  // namespace polyhead
