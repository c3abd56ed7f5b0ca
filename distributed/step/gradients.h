// How the gradients of a step, which workers compute in micro-batches, become sums over all workers.
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

  // A loss as it is to be summed over micro-batches and workers.
  virtual double rounded(double loss) const { return loss; }
  // Why after_backward() may return false for finite gradients, to be added to "not finite"; "": it never does.
  virtual std::string limit() const { return ""; }
};

// What gradients are summed over. All references outlive the Gradients.
struct GradientScope {
  Model& model;
  Communicator& world;                                       // for the encoder
  const std::vector<std::unique_ptr<Communicator>>& groups;  // [tasks] for heads; null: this worker has no such head
  const std::vector<std::string>& tasks;                     // their names
};

// Floating-point sums; the encoder's in buckets, which on a device are reduced while backward still runs.
std::unique_ptr<Gradients> make_bucketed_gradients(const GradientScope& scope);
// Sums that do not depend on the order of their terms, for run.reproducible = world (core/model/exact_sum.h). Each
// micro-batch holds at most `micro_batch` samples of one task. Collective. The model's gradients are on the host.
std::unique_ptr<Gradients> make_exact_gradients(const GradientScope& scope, std::int64_t micro_batch);

}  // namespace polyhead
