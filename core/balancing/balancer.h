// Balancers compute the weights of the tasks from their losses, or from the inner products of their gradients. Each
// balancer has a file of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/balancing/options.h"
#include "core/balancing/square_matrix.h"

namespace polyhead {

// What a balancer may read.
struct BalanceInput {
  std::int64_t step = 1;              // the update that the weights are for, counted from 1
  std::vector<bool> active;           // [tasks] with valid targets in this step
  std::vector<double> static_weight;  // [tasks] task.NAME.weight
  // [tasks] mean losses; NaN: not known. Reads::losses: of each task's last step before this one, or of this step with
  // balance.exact. Reads::norms, Reads::gram: of this step.
  std::vector<double> loss = {};
  // [tasks, tasks] inner products of the gradients of the mean losses with respect to the encoder; rows and columns of
  // tasks that are not active are 0. Reads::norms: only the diagonal is filled, with the squared norms of the rows that
  // TaskBuffer describes.
  SquareMatrix gram = {};
};

// What is done with the gradients before a balancer of norms sees them. The buffer of a task is as long as the
// encoder's arena, and each worker holds a part of it (core/balancing/task_buffer.h).
struct TaskBuffer {
  enum class Kind {
    none,         // rows are the gradients
    log_average,  // buffer += rate (gradient / loss - buffer); rows, and what is summed for the update, are the buffer
    square_sum,   // buffer += gradient^2; rows are gradient / buffer^(1/4); the gradients are summed for the update
  };
  Kind kind = Kind::none;
  double rate = 1;
};

// All workers make the same calls with the same input, so they get the same weights.
class Balancer {
 public:
  // What must be measured in every step, in ascending order of cost.
  enum class Reads {
    nothing,
    losses,  // of each task
    norms,   // of each task's gradient of the encoder
    gram,    // the inner products of those gradients, [tasks, tasks]
  };

  virtual ~Balancer() = default;
  virtual Reads reads() const { return Reads::nothing; }
  // Only for Reads::norms. The kind does not change during a run. step: as in BalanceInput.
  virtual TaskBuffer buffer(std::int64_t /*step*/) const { return {}; }
  // Returns the weights, [tasks]; 0 for a task that is not active. Called once per step (every balance.every steps for
  // Reads::norms and Reads::gram).
  // - Reads::nothing and Reads::losses: of the mean losses, for the encoder and the heads. They sum to 1.
  // - Reads::norms and Reads::gram: of the gradients, for the encoder only.
  virtual std::vector<double> weights(const BalanceInput& input) = 0;

  // Returns the state to save with a checkpoint, as a text in the balancer's own format; "": there is none.
  virtual std::string state() const { return ""; }
  // Throws Error(data) for a state that this balancer did not write.
  virtual void restore(const std::string& state);
};

// Returns the balancer that options.method names, for tasks with these names. seed: of random choices. Throws
// Error(config), which lists the known names, and for options out of range.
std::unique_ptr<Balancer> make_balancer(const BalancerOptions& options, const std::vector<std::string>& tasks,
                                        std::uint64_t seed);

}  // namespace polyhead
