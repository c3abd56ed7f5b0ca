// Sums gradients as floating-point numbers: those of the encoder with GradientSync, those of each head in one
// all-reduce.
#include "distributed/step/gradient_sync.h"
#include "distributed/step/gradients.h"
#include "distributed/step/tensor_type.h"

namespace polyhead {
namespace {

class BucketedGradients : public Gradients {
 public:
  explicit BucketedGradients(const GradientScope& scope)
      : scope_(scope),
        encoder_(scope.world, "encoder.gradients", scope.model.encoder().arena(),
                 {.during_backward = overlaps(scope.model.encoder().arena().gradients().device())}) {}

  void begin(const StepRecord& step) override {
    encoder_frozen_ = step.encoder_frozen;
    scope_.model.encoder().arena().gradients().zero_();
    for (const auto& [task, head] : scope_.model.heads()) head->arena().gradients().zero_();
  }

  void before_backward(const Batch&, bool last) override {
    if (last && !encoder_frozen_) encoder_.start();
  }

  void finish(StepRecord& step) override {
    if (!step.encoder_frozen) encoder_.finish();
    reduce_heads(scope_, step);
  }

 private:
  GradientScope scope_;
  GradientSync encoder_;
  bool encoder_frozen_ = false;  // in this step
};

}  // namespace

void reduce_heads(const GradientScope& scope, const StepRecord& step) {
  for (const auto& [task, head] : scope.model.heads()) {
    const torch::Tensor gradients = head->arena().gradients();
    if (step.active(task) && !alone(*scope.groups[task], gradients))
      scope.groups[task]->all_reduce("head." + scope.tasks[task], gradients.data_ptr(),
                                     static_cast<std::size_t>(gradients.numel()), type_of(gradients), Reduce::sum);
  }
}

std::unique_ptr<Gradients> make_bucketed_gradients(const GradientScope& scope) {
  return std::make_unique<BucketedGradients>(scope);
}

}  // namespace polyhead
