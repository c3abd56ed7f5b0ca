// run.reproducible = world: the same bits on any number of workers and any placement.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "core/model/exact_sum.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

// What the bits depend on beside the configuration, in words, by name: "program" -> its hash.
using Fingerprint = std::map<std::string, std::string>;

// Throws Error(config) naming what differs where `mine` is not `before`, that of the checkpoint in `folder` (empty:
// there is none). The workers' own are equal: the start has compared them (launch/handshake.h).
void check_fingerprint(const Fingerprint& mine, const Fingerprint& before, const std::string& folder);

// Numbers of threads as one number for all workers or one for each: "4", "4 on worker 0, 2 on workers 1-3".
std::string threads_by_worker(const std::vector<int>& threads);

// The gradients of a worker's micro-batches, one after another, and their sums over all workers.
class ExactGradients {
 public:
  // Collective. `model` outlives it; its gradients are on the host, and zero.
  ExactGradients(Model& model, Communicator& world);

  // A step begins. micro_batches: [tasks] of all workers together.
  void begin(const std::vector<std::int64_t>& micro_batches);
  // Adds what backward over a micro-batch of this task has left in the model's gradients, which become zero. False when
  // it cannot be added: not finite, or too large (ExactSum).
  [[nodiscard]] bool take(int task);
  // The model's gradients become the sums over all workers. Collective; groups: of each task, null where this worker is
  // no member; names: of the tasks.
  void give(Communicator& world, const std::vector<std::unique_ptr<Communicator>>& groups,
            const std::vector<std::string>& names);

 private:
  Model& model_;
  std::unique_ptr<SharedBuffer> memory_;
  ExactSum encoder_;
  std::map<int, ExactSum> heads_;
  std::vector<std::int64_t> micro_batches_;
};

}  // namespace polyhead
