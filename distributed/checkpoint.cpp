// Saves and loads checkpoints: safetensors by owner (the encoder, each head), and state.json.
#include "distributed/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <deque>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/names.h"
#include "core/base/safetensors.h"
#include "distributed/fence.h"
#include "distributed/sharding.h"

namespace polyhead {

namespace fs = std::filesystem;
namespace {

std::string owner_of(const Head& head) {
  return file_stem("head." + head.spec().task);
}

// Flat buffers cut by the arena's parameters, as named tensors. The host copies must outlive the map.
class Stored {
 public:
  void add(const Arena& arena, const std::string& prefix, const torch::Tensor& flat) {
    const torch::Tensor& host = hosts_.emplace_back(flat.cpu());
    const auto width = static_cast<std::size_t>(host.element_size());
    const auto* bytes = static_cast<const std::byte*>(host.data_ptr());
    for (const Parameter& parameter : arena.parameters())
      tensors[prefix + parameter.name] = {host.scalar_type() == torch::kFloat64 ? "F64" : "F32",
                                          parameter.shape,
                                          {bytes + static_cast<std::size_t>(parameter.offset) * width,
                                           static_cast<std::size_t>(parameter.size()) * width}};
  }
  std::map<std::string, StoredTensor> tensors;

 private:
  std::deque<torch::Tensor> hosts_;
};

Stretch whole(const Arena& arena) {
  return {0, arena.values().numel()};
}

// Fills flat buffers, which hold this part of the arena, from the tensors PREFIX + NAME of one file.
void read_into(const CheckpointFiles& files, const std::string& name, const Arena& arena, const Stretch& part,
               const std::vector<std::pair<std::string, torch::Tensor>>& buffers) {
  const SafetensorsFile file = files.read(name);
  const fs::path path = files.folder() / name;
  for (const auto& [prefix, flat] : buffers) {
    const torch::Tensor host = flat.is_cuda() ? torch::zeros_like(flat, torch::kCPU) : flat;
    const auto width = static_cast<std::size_t>(host.element_size());
    auto* bytes = static_cast<std::byte*>(host.data_ptr());
    for (const Parameter& parameter : arena.parameters()) {
      const auto found = file.tensors().find(prefix + parameter.name);
      if (found == file.tensors().end())
        throw Error(Exit::data, fmt::format("{}: it holds no tensor {}{}: it belongs to another model", path.string(),
                                            prefix, parameter.name));
      const StoredTensor& stored = found->second;
      if (stored.shape != parameter.shape || stored.data.size() != static_cast<std::size_t>(parameter.size()) * width)
        throw Error(
            Exit::data,
            fmt::format("{}: tensor {}{} has another shape or type than the model's: it belongs to another model",
                        path.string(), prefix, parameter.name));
      const std::int64_t begin = std::max(parameter.offset, part.begin),
                         end = std::min(parameter.offset + parameter.size(), part.end);
      if (begin < end)
        std::memcpy(bytes + static_cast<std::size_t>(begin - part.begin) * width,
                    stored.data.data() + static_cast<std::size_t>(begin - parameter.offset) * width,
                    static_cast<std::size_t>(end - begin) * width);
    }
    if (flat.is_cuda()) flat.copy_(host);
  }
}

// As long as the arena.
struct Moments {
  torch::Tensor mean, square, average;
};

// Joined on worker 0, and undefined elsewhere, where each worker has a part. Collective.
Moments encoder_moments(const Optimizers& optimizers, std::int64_t elements, Communicator& world) {
  const AdamW& of = optimizers.encoder;
  const auto whole = [&](const torch::Tensor& tensor) {
    return optimizers.in_parts && tensor.defined() ? join_parts(world, tensor, elements) : tensor;
  };
  return {whole(of.mean), whole(of.square), whole(of.average)};
}

// Writes the parameters, the optimizer state and the average of one owner; -> lines "name hash".
std::string write_owner(const fs::path& folder, const std::string& owner, const Arena& arena,
                        const Moments& optimizer) {
  Stored values, moments, average;
  values.add(arena, "", arena.values());
  moments.add(arena, "mean.", optimizer.mean);
  moments.add(arena, "square.", optimizer.square);
  std::vector<std::pair<std::string, const Stored*>> files = {{kWeightsFile, &values}, {kOptimizerFile, &moments}};
  if (optimizer.average.defined()) {
    average.add(arena, "", optimizer.average);
    files.emplace_back(kAverageFile, &average);
  }
  std::string lines;
  for (const auto& [ending, stored] : files) {
    const std::string name = owner + ending;
    lines += name + " " + to_hex(write_safetensors(folder / name, stored->tensors, {{"format", "pt"}})) + "\n";
  }
  return lines;
}

}  // namespace

Optimizers::Optimizers(const Model& model, const OptimizerOptions& options, const Stretch* part)
    : encoder(model.encoder().arena(),
              layer_scales(model.encoder().arena(), model.encoder().options().layers, options.layer_decay),
              options.ema > 0, part),
      in_parts(part != nullptr) {
  for (const auto& [task, head] : model.heads()) heads.emplace(task, AdamW(head->arena(), {}, options.ema > 0));
}

std::uint64_t parameter_hash(const Model& model, const ModelDescription& description, const std::vector<int>& leads,
                             Communicator& world) {
  std::vector<std::uint64_t> hashes(description.tasks.size(), 0);
  for (const int task : leads) hashes[static_cast<std::size_t>(task)] = model.head(task).arena().hash();
  world.all_reduce("parameter_hash", hashes);
  std::vector<std::pair<std::string, std::uint64_t>> by_name;
  for (std::size_t i = 0; i < hashes.size(); ++i) by_name.emplace_back(description.tasks[i].name, hashes[i]);
  std::ranges::sort(by_name);
  std::vector<std::uint64_t> all = {model.encoder().arena().hash()};
  for (const auto& [name, hash] : by_name) all.push_back(hash);
  return hash_bytes(all.data(), all.size() * sizeof all[0]);
}

namespace {

// A worker's part of a save: what it has to say, or why it failed. Equal on all afterwards.
struct Agreed {
  std::vector<std::string> said;  // by rank
  std::string error;              // "": all succeeded
};

// Collective. act() returns what this worker says; where it cannot write, all hear of it.
template <class Act>
Agreed agree(Communicator& world, const std::string& name, const Act& act) {
  std::string mine = "+";
  try {
    mine += act();
  } catch (const Error& error) {
    if (error.code() != Exit::cannot_write) throw;
    mine = "-" + std::string(error.what());
  }
  Agreed agreed;
  agreed.said = world.all_gather_strings(name, mine);
  for (std::size_t rank = 0; rank < agreed.said.size(); ++rank) {
    std::string& text = agreed.said[rank];
    if (text.starts_with('-') && agreed.error.empty())
      agreed.error = agreed.said.size() == 1 ? text.substr(1) : fmt::format("worker {}: {}", rank, text.substr(1));
    text.erase(0, 1);
  }
  return agreed;
}

// use(first, second) of each line "first second".
template <class Use>
void each_line(const std::string& text, const Use& use) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at), space = text.rfind(' ', end);
    use(text.substr(at, space - at), text.substr(space + 1, end - space - 1));
    at = end + 1;
  }
}

}  // namespace

Saved save_checkpoint(CheckpointStore& store, CheckpointState& state, const Model& model, const Optimizers& optimizers,
                      const std::vector<int>& leads, std::int64_t keep, Communicator& world) {
  const bool first = world.rank() == 0;
  const Agreed begun =
      agree(world, "checkpoint.begin", [&] { return first ? store.begin(state.step).string() : std::string(); });
  if (!begun.error.empty()) return {.folder = {}, .error = begun.error, .warnings = {}};
  const fs::path beside = begun.said.front();
  const auto failed = [&](const std::string& error) -> Saved {
    if (first) store.discard(beside);
    return {.folder = {}, .error = error, .warnings = {}};
  };

  const Arena& encoder = model.encoder().arena();
  const Moments moments = encoder_moments(optimizers, encoder.values().numel(), world);
  const Agreed written = agree(world, "checkpoint.files", [&] {
    std::string lines;
    if (first) lines += write_owner(beside, "encoder", encoder, moments);
    for (const int task : leads) {
      const AdamW& optimizer = optimizers.heads.at(task);
      lines += write_owner(beside, owner_of(model.head(task)), model.head(task).arena(),
                           {optimizer.mean, optimizer.square, optimizer.average});
    }
    return lines;
  });
  std::string steps = "encoder " + std::to_string(optimizers.encoder.steps) + "\n";
  for (const int task : leads)
    steps += owner_of(model.head(task)) + " " + std::to_string(optimizers.heads.at(task).steps) + "\n";
  const std::vector<std::string> all_steps = world.all_gather_strings("checkpoint.steps", steps);
  if (!written.error.empty()) return failed(written.error);

  state.files.clear();
  for (const std::string& lines : written.said)
    each_line(lines, [&](const std::string& name, const std::string& hash) { state.files[name] = hash; });
  for (const std::string& lines : all_steps)
    each_line(lines, [&](const std::string& owner, const std::string& count) {
      state.optimizer_steps[owner] = std::stoll(count);
    });
  Saved saved;
  const Agreed published = agree(world, "checkpoint.end", [&]() -> std::string {
    if (!first) return "";
    write_file_atomically(beside / "state.json", to_json(state, world.size()));
    fence().check();  // writing may have taken long
    return store.publish(beside, state.step, state.validation.run.step, keep, saved.warnings).string();
  });
  if (!published.error.empty()) return failed(published.error);
  saved.folder = published.said.front();
  return saved;
}

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
}

}  // namespace polyhead
