// Balancers compute the weights w_t of the total loss, which is the sum over tasks of w_t L_t. Each balancer has a file
// of its own.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// What a balancer may read.
struct BalanceInput {
  std::vector<bool> active;           // [tasks] with valid targets in this step
  std::vector<double> static_weight;  // [tasks] task.NAME.weight
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
  // Returns the weights, [tasks]; 0 for a task that is not active. Called once per step.
  virtual std::vector<double> weights(const BalanceInput& input) = 0;

  // Returns the state to save with a checkpoint, as a text in the balancer's own format; "": there is none.
  virtual std::string state() const { return ""; }
  // Throws Error(data) for a state that this balancer did not write.
  virtual void restore(const std::string& state);
};

// Weights of 1 / (number of active tasks).
std::unique_ptr<Balancer> make_equal();
// Weights proportional to the static weights, so that those of the active tasks sum to 1.
std::unique_ptr<Balancer> make_static();

// Returns the names of all balancers.
std::vector<std::string_view> balancer_names();
// Returns the balancer of this name. Throws Error(config), which lists the known names.
std::unique_ptr<Balancer> make_balancer(const std::string& method);

}  // namespace polyhead
