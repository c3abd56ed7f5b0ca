// Gives each worker a slice of the gradients of all tasks, where every worker has computed whole gradients of its own
// tasks: the first half of an all-reduce for all of them at once. With one task per worker, or one task per group of
// workers, the exchange sends as many bytes as the first half of a plain all-reduce.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/balancing/gram.h"
#include "core/base/index_range.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

// The memory for gradients of one worker: first the sum over tasks, then one tensor for each task that it holds; a
// worker with a single task computes its gradient where the sum will be. Each is [elements], contiguous, and all are in
// one buffer if there is a `window`.
struct TaskGradients {
  torch::Tensor sum;
  std::vector<torch::Tensor> tasks;      // of the tasks held, ascending; a single one may be `sum`
  const SharedBuffer* window = nullptr;  // memory of `sum` and `tasks`, mapped by all workers; null: none is
};

// The number of tensors of a worker that holds this many tasks, and the place of a task's tensor among them; place: of
// the task among those held.
constexpr std::size_t gradient_tensors(std::size_t held) {
  return held == 1 ? 1 : 1 + held;
}
constexpr std::size_t gradient_tensor(std::size_t held, std::size_t place) {
  return held == 1 ? 0 : 1 + place;
}

class SliceTranspose {
 public:
  // Gives memory of this many elements for a slice that is received.
  using Allocate = std::function<torch::Tensor(std::int64_t elements)>;

  // groups: [tasks] the ranks that hold the task, ascending. `world` and `gradients` must outlive this object, and the
  // tensors of `gradients` must not be replaced. allocate: empty: memory as that of `gradients`. Throws Error(config)
  // if there are too few elements for the workers, on a device.
  SliceTranspose(Communicator& world, std::vector<std::vector<int>> groups, const TaskGradients& gradients,
                 Allocate allocate = {});

  // The elements of this worker, as part_of() in sharding.h.
  IndexRange slice() const { return slice_; }
  // Returns the slices of the gradients of these tasks (ascending), [tasks]. They stay valid until finish(). On a
  // device they are enqueued and joined, see Communicator. Collective.
  std::vector<GradientRow> exchange(const std::vector<std::size_t>& tasks);
  // The places for this worker's slice of the sum: its own, and those of all workers that map its memory if `share`.
  std::vector<torch::Tensor> targets(bool share) const;
  // Ends the use of the rows. If `share`, all workers then have the whole sum. Collective.
  void finish(bool share);

  // Bytes that this worker has sent since the last call, or that others have read from its memory.
  double take_sent();

 private:
  std::vector<GradientRow> map(const std::vector<std::size_t>& tasks) const;
  std::vector<GradientRow> receive(const std::vector<std::size_t>& tasks);
  torch::Tensor mapped(int rank, std::size_t tensor, const IndexRange& range) const;
  IndexRange slice_of(int rank) const;

  Communicator& world_;
  const TaskGradients& gradients_;
  std::vector<std::vector<int>> groups_;
  std::vector<std::vector<std::size_t>> held_;  // [workers] tasks, ascending
  IndexRange slice_;
  Allocate allocate_;
  double sent_ = 0;
};

}  // namespace polyhead
