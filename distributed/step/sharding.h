// Shards the encoder's optimizer state over the world (ZeRO stage 1; Rajbhandari et al., 2020): each worker keeps the
// moments of its part of the arena, updates that part, and receives the other parts from their owners. Every worker
// still reduces all gradients, as it needs their norm. The results are bitwise equal to those without sharding.
#pragma once

#include <string>

#include "core/optimizer/adamw.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

// Returns a worker's part of a flat buffer. The parts are equally long and ordered by rank; the last worker also gets
// the remainder. They begin at multiples of 64 elements, so that vectorised kernels compute the same bits.
IndexRange part_of(std::int64_t elements, int rank, int workers);

// Sends every worker's part of `flat` to all others. name: of the collective. Collective.
void share_parts(Communicator& world, const torch::Tensor& flat, const std::string& name);

// Gathers the parts of all workers. Returns the whole buffer, in host memory, on worker `root`, and an undefined tensor
// on the others. Collective.
torch::Tensor join_parts(Communicator& world, const torch::Tensor& part, std::int64_t elements, int root = 0);

}  // namespace polyhead
