// See snapshot.h.
#include "distributed/checkpoint/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "core/base/hash.h"
#include "core/base/names.h"
#include "distributed/step/sharding.h"

namespace polyhead {

namespace {

// Gathers each task's buffer on the worker that writes its head. Returns [tasks], defined for the tasks in `led`.
// Collective.
std::vector<torch::Tensor> join_buffers(const TaskBuffers& buffers, const Arena& encoder,
                                        const std::vector<std::size_t>& led, Communicator& world) {
  std::vector<torch::Tensor> whole;
  if (buffers.tensors.empty()) return whole;
  std::vector<std::int64_t> leader(buffers.tensors.size(), 0);
  for (const std::size_t task : led) leader[task] = world.rank();
  world.all_reduce("checkpoint.leaders", leader);
  for (std::size_t task = 0; task < leader.size(); ++task)
    whole.push_back(join_parts(world, buffers.tensors[task], encoder.values().numel(), static_cast<int>(leader[task])));
  return whole;
}

}  // namespace

Snapshot take_snapshot(const Model& model, const Optimizers& optimizers, const std::vector<std::size_t>& led,
                       Communicator& world) {
  Snapshot snapshot;
  snapshot.encoder = &model.encoder().arena();
  const auto on_host = [](const torch::Tensor& tensor) { return tensor.defined() ? tensor.cpu() : tensor; };
  const Arena& encoder = model.encoder().arena();
  const auto whole = [&](const torch::Tensor& tensor) {
    return optimizers.in_parts && tensor.defined() ? join_parts(world, tensor, encoder.values().numel()) : tensor;
  };
  const AdamW& shared = optimizers.encoder;
  const torch::Tensor mean = whole(shared.mean), square = whole(shared.square), average = whole(shared.average);
  if (world.rank() == 0)
    snapshot.owners.push_back(
        {"encoder", &encoder, on_host(encoder.values()), on_host(mean), on_host(square), on_host(average)});
  const std::vector<torch::Tensor> buffers = join_buffers(optimizers.task_buffers, encoder, led, world);
  std::string steps = fmt::format("{} encoder\n", shared.steps);
  for (const std::size_t task : led) {
    const Head& head = model.head(task);
    const AdamW& own = optimizers.heads.at(task);
    const std::string owner = file_stem("head." + head.spec().task);
    snapshot.owners.push_back({owner, &head.arena(), on_host(head.arena().values()), on_host(own.mean),
                               on_host(own.square), on_host(own.average),
                               buffers.empty() ? torch::Tensor() : buffers[task]});
    steps += fmt::format("{} {}\n", own.steps, owner);
  }
  for (const std::string& lines : world.all_gather_strings("checkpoint.steps", steps)) {
    std::istringstream in(lines);
    std::string owner;
    for (std::int64_t count = 0; in >> count && std::getline(in.ignore(), owner);)
      snapshot.optimizer_steps[owner] = count;
  }
  return snapshot;
}

std::uint64_t parameter_hash(const Model& model, const ModelDescription& description,
                             const std::vector<std::size_t>& led, Communicator& world) {
  std::vector<std::uint64_t> hashes(description.tasks.size(), 0);
  for (const std::size_t task : led) hashes.at(task) = model.head(task).arena().hash();
  world.all_reduce("parameter_hash", hashes);
  std::vector<std::pair<std::string, std::uint64_t>> by_name;
  for (std::size_t i = 0; i < hashes.size(); ++i) by_name.emplace_back(description.tasks[i].name, hashes[i]);
  std::ranges::sort(by_name);
  std::vector<std::uint64_t> all = {model.encoder().arena().hash()};
  for (const auto& [name, hash] : by_name) all.push_back(hash);
  return hash_bytes(all.data(), all.size() * sizeof all[0]);
}

}  // namespace polyhead
