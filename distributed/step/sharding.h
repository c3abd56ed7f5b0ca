// The encoder's optimizer state shared out over the world (ZeRO stage 1; Rajbhandari et al., 2020): each worker keeps
// the moments of its part of the arena, updates that part, and gets the others' from their owners. Gradients are
// reduced whole, since their norm is needed whole; every number is the same as without.
#pragma once

#include "core/optimizer/adamw.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

// Of a flat buffer the part of a worker: all parts are equally long, in the order of ranks, but the last, which takes
// what is left. They begin at multiples of 64 elements, so that vector kernels cut them alike.
Stretch part_of(std::int64_t elements, int rank, int workers);

// Every worker's part of `flat` goes to all others. Collective.
void share_parts(Communicator& world, const torch::Tensor& flat);

// The whole of which every worker has its part, on worker 0, in host memory; undefined elsewhere. Collective.
torch::Tensor join_parts(Communicator& world, const torch::Tensor& part, std::int64_t elements);

}  // namespace polyhead
