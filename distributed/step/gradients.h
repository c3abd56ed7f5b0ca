// Sums the gradients of a step, which workers compute in micro-batches, over all workers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "distributed/communicator/communicator.h"
#include "distributed/step/step_record.h"

namespace polyhead {

// In each step, every worker calls: begin; before_backward and after_backward around each of its micro-batches, of
// which it may have none; finish.
class Gradients {
 public:
  virtual ~Gradients() = default;

  // Sets the model's gradients to zero.
  virtual void begin(const StepRecord& step) = 0;
  // `last`: this worker has no micro-batch after this one.
  virtual void before_backward(const Batch& /*batch*/, bool /*last*/) {}
  // Returns false when the micro-batch's gradients cannot be added; the step must then be skipped on all workers.
  [[nodiscard]] virtual bool after_backward(const Batch& /*batch*/) { return true; }
  // Makes the gradients of the encoder and of each active head sums over the workers that hold them. Collective. On a
  // device the sums are enqueued, see Communicator.
  virtual void finish(const StepRecord& step) = 0;

  // Returns a loss, rounded if necessary so that it can be summed over micro-batches and workers.
  virtual double rounded(double loss) const { return loss; }
  // Returns why after_backward() may return false for finite gradients, as an addition to "not finite"; "": it never
  // does.
  virtual std::string limit() const { return ""; }
};

// The model and the groups over which its gradients are summed. The objects referred to must outlive the Gradients.
struct GradientScope {
  Model& model;
  Communicator& world;                                       // for the encoder
  const std::vector<std::unique_ptr<Communicator>>& groups;  // [tasks] for heads; null: this worker has no such head
  const std::vector<std::string>& tasks;                     // their names
};

// Floating-point sums. Gradients of the encoder are reduced in buckets, on a device during backward.
std::unique_ptr<Gradients> make_bucketed_gradients(const GradientScope& scope);
// Sums that do not depend on the order of their terms, for run.reproducible = world (core/model/exact_sum.h). Each
// micro-batch holds at most `micro_batch` samples of one task. Collective. The model's gradients are on the host.
std::unique_ptr<Gradients> make_exact_gradients(const GradientScope& scope, std::int64_t micro_batch);

}  // namespace polyhead
