// Sums the gradients of a step, which workers compute in micro-batches, over all workers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "core/optimizer/task_buffers.h"
#include "distributed/communicator/communicator.h"
#include "distributed/step/balance.h"
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
  // Some methods leave this worker with a slice of the encoder's gradient, see optimizer.shard; they set step.square.
  virtual void finish(StepRecord& step) = 0;

  // Returns a loss, rounded if necessary so that it can be summed over micro-batches and workers.
  virtual double rounded(double loss) const { return loss; }
  // Returns why after_backward() may return false for finite gradients, as an addition to "not finite"; "": it never
  // does.
  virtual std::string limit() const { return ""; }
  // The buffers of a balancer that keeps one for each task. The tensors share their memory with those in use.
  virtual TaskBuffers task_buffers() const { return {}; }
};

// The model and the groups over which its gradients are summed. The objects referred to must outlive the Gradients.
struct GradientScope {
  Model& model;
  Communicator& world;                                       // for the encoder
  const std::vector<std::unique_ptr<Communicator>>& groups;  // [tasks] for heads; null: this worker has no such head
  const std::vector<std::string>& tasks;                     // their names
};

// Sums the gradients of active heads over their groups, each in one all-reduce. Collective.
void reduce_heads(const GradientScope& scope, const StepRecord& step);

// Floating-point sums. Gradients of the encoder are reduced in buckets, on a device during backward.
std::unique_ptr<Gradients> make_bucketed_gradients(const GradientScope& scope);
// Sums that do not depend on the order of their terms, for run.reproducible = world (core/model/exact_sum.h). Each
// micro-batch holds at most `micro_batch` samples of one task. Collective. The model's gradients are on the host.
std::unique_ptr<Gradients> make_exact_gradients(const GradientScope& scope, std::int64_t micro_batch);

// What a balancer of gradients needs in addition. The objects referred to must outlive the Gradients.
struct SurgeryScope {
  Balance& balance;
  const std::vector<std::vector<int>>& groups;  // [tasks] ranks that hold the task's head, ascending
  SurgeryOptions options;
  bool sharded = false;  // optimizer.shard = world: a worker needs only its slice of the gradient
  // Room for the encoder's gradients, then for those of each task held, in host memory; null: allocate it.
  const SharedBuffer* memory = nullptr;
};

// One gradient for each task, combined with the weights of a balancer (part 3 of docs/guides/balancing.md). Each
// micro-batch holds samples of one task.
std::unique_ptr<Gradients> make_surgery(const GradientScope& scope, const SurgeryScope& surgery);

}  // namespace polyhead
