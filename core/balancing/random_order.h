// The random order in which PCGrad and GradVac compare a task with the others.
#pragma once

#include <cstdint>
#include <vector>

#include "core/balancing/gram_balancer.h"

namespace polyhead {

// Returns the other tasks, by their number in the problem, in an order that is a pure function of the seed, the step
// and the tasks: a task that does not take part does not change the order of the rest.
std::vector<std::size_t> random_order(const GramProblem& problem, std::size_t task, std::uint64_t seed);

}  // namespace polyhead
