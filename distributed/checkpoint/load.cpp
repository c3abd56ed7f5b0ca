// See load.h.
#include "distributed/checkpoint/load.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/names.h"
#include "core/base/safetensors.h"

namespace polyhead {

namespace fs = std::filesystem;
namespace {

std::string owner_of(const Head& head) {
  return file_stem("head." + head.spec().task);
}

IndexRange whole(const Arena& arena) {
  return {0, arena.values().numel()};
}

// Fills flat buffers, which hold this part of the arena, from the tensors PREFIX + NAME of a file.
void read_into(const CheckpointFiles& files, const std::string& name, const Arena& arena, const IndexRange& part,
               const std::vector<std::pair<std::string, torch::Tensor>>& buffers) {
  const SafetensorsFile file = files.read(name);
  const fs::path path = files.folder() / name;
  for (const auto& [prefix, flat] : buffers) {
    const torch::Tensor host = flat.is_cuda() ? torch::zeros_like(flat, torch::kCPU) : flat;
    const std::int64_t width = host.element_size();
    auto* bytes = static_cast<std::byte*>(host.data_ptr());
    for (const Parameter& parameter : arena.parameters()) {
      const auto found = file.tensors().find(prefix + parameter.name);
      if (found == file.tensors().end())
        throw Error(Exit::data, fmt::format("{}: it holds no tensor {}{}: it belongs to another model", path.string(),
                                            prefix, parameter.name));
      const StoredTensor& stored = found->second;
      if (stored.shape != parameter.shape || std::ssize(stored.data) != parameter.size() * width)
        throw Error(
            Exit::data,
            fmt::format("{}: tensor {}{} has another shape or type than the model's: it belongs to another model",
                        path.string(), prefix, parameter.name));
      const std::int64_t begin = std::max(parameter.offset, part.begin),
                         end = std::min(parameter.offset + parameter.size(), part.end);
      if (begin < end)
        std::memcpy(bytes + (begin - part.begin) * width, stored.data.data() + (begin - parameter.offset) * width,
                    static_cast<std::size_t>((end - begin) * width));
    }
    if (flat.is_cuda()) flat.copy_(host);
  }
}

}  // namespace

std::uint64_t weights_hash(const CheckpointState& state, const std::string& task, bool average) {
  std::string hashes;
  for (const std::string& owner : {std::string("encoder"), file_stem("head." + task)}) {
    const auto file = state.files.find(owner + (average ? kAverageFile : kWeightsFile));
    if (file == state.files.end())
      throw Error(Exit::config, fmt::format("its checkpoint of step {} holds no averaged weights, as it was trained "
                                            "without optimizer.ema",
                                            state.step));
    hashes += file->second;
  }
  return hash_bytes(hashes);
}

void load_average(const CheckpointFiles& files, Model& model) {
  if (!files.state().files.contains(std::string("encoder") + kAverageFile))
    throw Error(Exit::config, fmt::format("{}: it holds no averaged weights, as the run was trained without "
                                          "optimizer.ema",
                                          files.folder().string()));
  const auto load = [&](const std::string& owner, const Arena& arena) {
    read_into(files, owner + kAverageFile, arena, whole(arena), {{"", arena.values()}});
  };
  load("encoder", model.encoder().arena());
  for (const auto& [task, head] : model.heads()) load(owner_of(*head), head->arena());
}

void load_checkpoint(const fs::path& folder, const CheckpointState& state, Model& model, Optimizers* optimizers) {
  load_checkpoint(CheckpointFiles(folder, state), model, optimizers);
}

void load_checkpoint(const CheckpointFiles& files, Model& model, Optimizers* optimizers) {
  const auto load = [&](const std::string& owner, Arena& arena, AdamW* optimizer) {
    read_into(files, owner + kWeightsFile, arena, whole(arena), {{"", arena.values()}});
    if (!optimizer) return;
    read_into(files, owner + kOptimizerFile, arena, optimizer->part,
              {{"mean.", optimizer->mean}, {"square.", optimizer->square}});
    if (optimizer->average.defined())
      read_into(files, owner + kAverageFile, arena, optimizer->part, {{"", optimizer->average}});
    const auto steps = files.state().optimizer_steps.find(owner);
    if (steps == files.state().optimizer_steps.end())
      throw Error(Exit::data,
                  fmt::format("{}: it has no optimizer_steps for {}", (files.folder() / "state.json").string(), owner));
    optimizer->steps = steps->second;
  };
  load("encoder", model.encoder().arena(), optimizers ? &optimizers->encoder : nullptr);
  for (const auto& [task, head] : model.heads())
    load(owner_of(*head), head->arena(), optimizers ? &optimizers->heads.at(task) : nullptr);
  if (!optimizers) return;
  const TaskBuffers& buffers = optimizers->task_buffers;
  for (std::size_t task = 0; task < buffers.tensors.size(); ++task)
    read_into(files, file_stem("head." + files.state().model.tasks.at(task).name) + kBufferFile,
              model.encoder().arena(), buffers.part, {{"", buffers.tensors[task]}});
}

}  // namespace polyhead
