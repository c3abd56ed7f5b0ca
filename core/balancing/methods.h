// The functions that make the balancers, one for each method.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/balancing/balancer.h"

namespace polyhead {

// What a balancer is made from.
struct BalancerSpec {
  BalancerOptions options;
  std::vector<std::string> tasks;  // names
  std::uint64_t seed = 1;          // of random choices
};

// Weights of 1 / (number of active tasks).
std::unique_ptr<Balancer> make_equal(const BalancerSpec& spec);
// Weights proportional to the static weights, so that those of the active tasks sum to 1.
std::unique_ptr<Balancer> make_static(const BalancerSpec& spec);

}  // namespace polyhead
