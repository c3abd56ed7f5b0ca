// One file per owner with the weights, one with the optimizer's moments, one with the average, and one per task with
// the balancer's buffer.
#include "distributed/checkpoint/writer.h"

#include "core/base/hash.h"
#include "core/base/safetensors.h"
#include "distributed/checkpoint/state.h"

namespace polyhead {
namespace {

using Tensors = std::map<std::string, StoredTensor>;

// Cuts a flat buffer by the arena's parameters, and adds the pieces under PREFIX + NAME.
void add(Tensors& tensors, const Arena& arena, const std::string& prefix, const torch::Tensor& flat) {
  const std::int64_t width = flat.element_size();
  const auto* bytes = static_cast<const std::byte*>(flat.data_ptr());
  for (const Parameter& parameter : arena.parameters())
    tensors[prefix + parameter.name] = {
        flat.scalar_type() == torch::kFloat64 ? "F64" : "F32",
        parameter.shape,
        {bytes + parameter.offset * width, static_cast<std::size_t>(parameter.size() * width)}};
}

}  // namespace

std::map<std::string, std::string> write_snapshot(const std::filesystem::path& folder, const Snapshot& snapshot) {
  std::map<std::string, std::string> hashes;
  const auto write = [&](const std::string& name, const Tensors& tensors) {
    hashes[name] = to_hex(write_safetensors(folder / name, tensors, {{"format", "pt"}}));
  };
  for (const OwnerSnapshot& owner : snapshot.owners) {
    Tensors values, moments, average;
    add(values, *owner.arena, "", owner.values);
    write(owner.owner + kWeightsFile, values);
    add(moments, *owner.arena, "mean.", owner.mean);
    add(moments, *owner.arena, "square.", owner.square);
    write(owner.owner + kOptimizerFile, moments);
    if (owner.average.defined()) {
      add(average, *owner.arena, "", owner.average);
      write(owner.owner + kAverageFile, average);
    }
    if (!owner.buffer.defined()) continue;
    Tensors buffer;
    add(buffer, *snapshot.encoder, "", owner.buffer);
    write(owner.owner + kBufferFile, buffer);
  }
  return hashes;
}

}  // namespace polyhead
