// Gives all active tasks the same weight.
#include "core/balancing/gram_balancer.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class Equal : public Balancer {
 public:
  std::vector<double> weights(const BalanceInput& input) override { return equal_weights(input.active); }
};

}  // namespace

std::unique_ptr<Balancer> make_equal(const BalancerSpec&) {
  return std::make_unique<Equal>();
}

}  // namespace polyhead
