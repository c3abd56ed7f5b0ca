// The part of a checkpoint that a worker writes, gathered at one step: the encoder on rank 0, and the heads of the
// tasks that the worker leads.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "distributed/communicator/communicator.h"
#include "distributed/description/description.h"
#include "distributed/step/optimizers.h"

namespace polyhead {

// The encoder or a head. The tensors are flat, on the host, and as long as the arena. On a CPU they share the model's
// memory, so they must be written before the next update.
struct OwnerSnapshot {
  std::string owner;  // "encoder" or file_stem("head.NAME")
  const Arena* arena = nullptr;
  torch::Tensor values, mean, square, average;  // average: undefined without optimizer.ema
  torch::Tensor buffer =
      {};  // of a head: the balancer's buffer of the task, as long as the encoder's arena; or undefined
};

struct Snapshot {
  std::vector<OwnerSnapshot> owners;  // that this worker writes
  const Arena* encoder = nullptr;
  std::map<std::string, std::int64_t> optimizer_steps;  // of all owners of the model
};

// Collective. led: tasks whose heads this worker writes (each task has one leader). If the encoder's optimizer is
// sharded, rank 0 holds all of its state afterwards.
Snapshot take_snapshot(const Model& model, const Optimizers& optimizers, const std::vector<std::size_t>& led,
                       Communicator& world);

// Returns xxh3-64 over the 8-byte hashes of the encoder and of the heads, by task name. Collective.
std::uint64_t parameter_hash(const Model& model, const ModelDescription& description,
                             const std::vector<std::size_t>& led, Communicator& world);

}  // namespace polyhead
