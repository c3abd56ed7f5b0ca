// Balancers: from what is known of each task to the weights w_t of the total loss, the sum over tasks of w_t L_t. One
// file each.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace polyhead {

// What a balancer may read.
struct BalanceInput {
  std::vector<bool> active;           // [tasks] with valid targets in this step
  std::vector<double> static_weight;  // [tasks] task.NAME.weight
};

// All workers make the same calls with the same input, and so get the same weights.
class Balancer {
 public:
  // What must be measured for it in every step, in ascending order of cost.
  enum class Reads {
    nothing,
    losses,  // of each task
    norms,   // of each task's gradient of the encoder
    gram,    // the inner products of those gradients, [tasks, tasks]
  };

  virtual ~Balancer() = default;
  virtual Reads reads() const { return Reads::nothing; }
  // [tasks]; 0 for a task that is not active. Called once per step.
  virtual std::vector<double> weights(const BalanceInput& input) = 0;

  // What the balancer has learned, to be saved with a checkpoint: a text of its own format; "": nothing.
  virtual std::string state() const { return ""; }
  // Throws Error(data) for a state that is not its own.
  virtual void restore(const std::string& state);
};

// 1 / (number of active tasks) each.
std::unique_ptr<Balancer> make_equal();
// Proportional to the static weights; those of the active tasks sum to 1.
std::unique_ptr<Balancer> make_static();

// The balancer of a name. Throws Error(config) that lists the names there are.
std::unique_ptr<Balancer> make_balancer(const std::string& method);

}  // namespace polyhead
