// Saves, verifies and loads checkpoints: safetensors by owner (the encoder, each head), and state.json.
#include "distributed/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/names.h"
#include "core/base/safetensors.h"
#include "distributed/sharding.h"

namespace polyhead {

namespace fs = std::filesystem;
using nlohmann::json;

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MixtureEntry, step, quota, first)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BestValue, value, step, since)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ValidationState, run, tasks, finished)

namespace {

constexpr const char* kAverage = ".ema.safetensors";  // of an owner's file

std::string folder_name(std::int64_t step) {
  return fmt::format("step-{:06}", step);
}

std::string owner_of(const Head& head) {
  return "head." + head.spec().task;
}

// OWNER.safetensors, OWNER.optimizer.safetensors: a task may be named as no file can be.
std::string file_of(const std::string& owner, const std::string& ending) {
  return file_stem(owner) + ending;
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

void check_hash(const fs::path& file, std::uint64_t hash, const CheckpointState& state) {
  const auto expected = state.files.find(file.filename().string());
  if (expected == state.files.end())
    throw Error(Exit::data, fmt::format("{}: the checkpoint's state.json does not name it", file.string()));
  if (to_hex(hash) != expected->second)
    throw Error(Exit::data, fmt::format("{}: its content has changed since it was written (xxh3 {}, expected {})",
                                        file.string(), to_hex(hash), expected->second));
}

Stretch whole(const Arena& arena) {
  return {0, arena.values().numel()};
}

// Fills flat buffers, which hold this part of the arena, from the tensors PREFIX + NAME of one file.
void read_into(const fs::path& path, const CheckpointState& state, const Arena& arena, const Stretch& part,
               const std::vector<std::pair<std::string, torch::Tensor>>& buffers) {
  const SafetensorsFile file(path);
  check_hash(path, file.hash(), state);
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

// Writes the parameters, the optimizer state and the average of one owner; -> hashes by the files' names.
std::map<std::string, std::string> write_owner(const fs::path& folder, const std::string& owner, const Arena& arena,
                                               const Moments& optimizer) {
  Stored values, moments, average;
  values.add(arena, "", arena.values());
  moments.add(arena, "mean.", optimizer.mean);
  moments.add(arena, "square.", optimizer.square);
  std::vector<std::pair<std::string, const Stored*>> files = {{".safetensors", &values},
                                                              {".optimizer.safetensors", &moments}};
  if (optimizer.average.defined()) {
    average.add(arena, "", optimizer.average);
    files.emplace_back(kAverage, &average);
  }
  std::map<std::string, std::string> hashes;
  for (const auto& [ending, stored] : files) {
    const std::string name = file_of(owner, ending);
    hashes[name] = to_hex(write_safetensors(folder / name, stored->tensors, {{"format", "pt"}}));
  }
  return hashes;
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

fs::path save_checkpoint(const fs::path& run_dir, CheckpointState& state, const Model& model,
                         const Optimizers& optimizers, const std::vector<int>& leads, std::int64_t keep,
                         Communicator& world) {
  const fs::path parent = run_dir / "checkpoints", folder = parent / folder_name(state.step);
  const fs::path beside = folder.string() + ".tmp";
  std::error_code error;
  if (world.rank() == 0) {
    fs::remove_all(beside, error);
    fs::create_directories(beside, error);
    if (error)
      throw Error(Exit::cannot_write, fmt::format("checkpoint of step {}: {} cannot be made: {}", state.step,
                                                  beside.string(), error.message()));
  }
  world.barrier("checkpoint.begin");
  std::map<std::string, std::string> files;
  const Arena& encoder = model.encoder().arena();
  {
    const Moments moments = encoder_moments(optimizers, encoder.values().numel(), world);
    if (world.rank() == 0) files = write_owner(beside, "encoder", encoder, moments);
  }
  for (const int task : leads) {
    const AdamW& optimizer = optimizers.heads.at(task);
    files.merge(write_owner(beside, owner_of(model.head(task)), model.head(task).arena(),
                            {optimizer.mean, optimizer.square, optimizer.average}));
  }
  std::map<std::string, std::int64_t> steps = {{"encoder", optimizers.encoder.steps}};
  for (const int task : leads) steps[owner_of(model.head(task))] = optimizers.heads.at(task).steps;
  state.files.clear();
  for (const std::string& text : world.all_gather_strings("checkpoint.files", json::array({files, steps}).dump())) {
    const json theirs = json::parse(text);
    state.files.merge(theirs[0].get<std::map<std::string, std::string>>());
    for (const auto& [owner, count] : theirs[1].items()) state.optimizer_steps[owner] = count.get<std::int64_t>();
  }
  if (world.rank() == 0) {
    json out = {{"format", "polyhead-checkpoint"},
                {"version", 1},
                {"step", state.step},
                {"ids_hash", to_hex(state.ids_hash)},
                {"parameter_hash", to_hex(state.parameter_hash)},
                {"mixture", state.mixture},
                {"validation", state.validation},
                {"optimizer_steps", state.optimizer_steps},
                {"files", state.files},
                {"workers", world.size()},
                {"fingerprint", state.fingerprint},
                {"threads", state.threads},
                {"model", json::parse(to_json(state.model))}};
    if (state.evaluation_due) out["evaluation_due"] = true;
    write_file_atomically(beside / "state.json", out.dump(1) + "\n");
    sync_path(beside);
    // A checkpoint of this very step may be there, from a run that went on after it and was sent back.
    fs::remove_all(folder, error);
    fs::rename(beside, folder, error);
    if (error)
      throw Error(Exit::cannot_write, fmt::format("checkpoint of step {}: {} cannot be renamed: {}", state.step,
                                                  beside.string(), error.message()));
    sync_path(parent);
    write_file_atomically(parent / "latest", folder.filename().string() + "\n");
    const std::string best = state.validation.run.step > 0 ? folder_name(state.validation.run.step) : "";
    if (!best.empty()) write_file_atomically(parent / "best", best + "\n");
    const auto all = checkpoints(run_dir);
    for (std::size_t i = static_cast<std::size_t>(std::max<std::int64_t>(1, keep)); i < all.size(); ++i)
      if (all[i].filename() != best) fs::remove_all(all[i], error);
  }
  world.barrier("checkpoint.end");
  return folder;
}

std::vector<fs::path> checkpoints(const fs::path& run_dir) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run_dir / "checkpoints", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && !name.ends_with(".tmp")) found.push_back(entry.path());
  }
  // By step, not by name: a step above 999,999 has more digits.
  std::ranges::sort(found, [](const fs::path& a, const fs::path& b) {
    const std::string x = a.filename().string(), y = b.filename().string();
    return x.size() != y.size() ? x.size() > y.size() : x > y;
  });
  return found;
}

CheckpointState read_checkpoint_state(const fs::path& folder) {
  const fs::path file = folder / "state.json";
  CheckpointState state;
  try {
    const json in = json::parse(read_file(file));
    if (in.at("format") != "polyhead-checkpoint" || in.at("version") != 1)
      throw std::invalid_argument("unknown format or version");
    in.at("step").get_to(state.step);
    state.ids_hash = from_hex(in.at("ids_hash").get<std::string>());
    state.parameter_hash = from_hex(in.at("parameter_hash").get<std::string>());
    in.at("mixture").get_to(state.mixture);
    state.validation = in.value("validation", state.validation);  // older ones have none
    in.at("optimizer_steps").get_to(state.optimizer_steps);
    in.at("files").get_to(state.files);
    state.fingerprint = in.value("fingerprint", state.fingerprint);  // older ones have none
    state.threads = in.value("threads", state.threads);              // nor threads
    state.evaluation_due = in.value("evaluation_due", false);
    state.model = description_from_json(in.at("model").dump(), file.string());
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(Exit::data, fmt::format("{}: it is no checkpoint's state: {}", file.string(), error.what()));
  }
  return state;
}

CheckpointState verify_checkpoint(const fs::path& folder) {
  const CheckpointState state = read_checkpoint_state(folder);
  for (const auto& [name, hash] : state.files) check_hash(folder / name, hash_bytes(read_file(folder / name)), state);
  return state;
}

std::unique_ptr<FoundCheckpoint> find_checkpoint(const fs::path& run_dir, std::vector<std::string>& warnings) {
  const auto all = checkpoints(run_dir);
  for (const fs::path& folder : all) {
    try {
      return std::make_unique<FoundCheckpoint>(FoundCheckpoint{folder, verify_checkpoint(folder)});
    } catch (const Error& error) {
      warnings.push_back(error.what());
    }
  }
  if (all.empty()) return nullptr;
  throw Error(
      Exit::data,
      fmt::format("{}: no checkpoint is whole; the newest: {}. Restore it from a copy, or start in another run folder",
                  (run_dir / "checkpoints").string(), warnings.front()));
}

std::unique_ptr<FoundCheckpoint> choose_checkpoint(const fs::path& run_dir, const std::string& which,
                                                   std::vector<std::string>& warnings) {
  const auto all = checkpoints(run_dir);
  if (which == "latest" || all.empty()) return find_checkpoint(run_dir, warnings);
  std::string name;
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), step);
  if (which == "best") {
    std::error_code missing;
    if (!fs::exists(run_dir / "checkpoints" / "best", missing))
      throw Error(Exit::config, fmt::format("{}: the run keeps no best checkpoint, as it was trained without run.best",
                                            run_dir.string()));
    name = read_file(run_dir / "checkpoints" / "best");
    while (name.ends_with('\n')) name.pop_back();
  } else if (error == std::errc() && end == which.data() + which.size()) {
    name = folder_name(step);
  }
  std::vector<std::string> names;
  for (const fs::path& folder : all) {
    if (folder.filename() == name)
      return std::make_unique<FoundCheckpoint>(FoundCheckpoint{folder, verify_checkpoint(folder)});
    names.push_back(folder.filename().string());
  }
  throw Error(Exit::config, fmt::format("{}: it holds no checkpoint '{}'; give latest, best or the step of one of {}",
                                        run_dir.string(), which, fmt::join(names, ", ")));
}

std::uint64_t weights_hash(const CheckpointState& state, const std::string& task, bool average) {
  std::string hashes;
  for (const std::string& owner : {std::string("encoder"), "head." + task}) {
    const auto file = state.files.find(file_of(owner, average ? kAverage : ".safetensors"));
    if (file == state.files.end())
      throw Error(Exit::config, fmt::format("its checkpoint of step {} holds no averaged weights, as it was trained "
                                            "without optimizer.ema",
                                            state.step));
    hashes += file->second;
  }
  return hash_bytes(hashes);
}

void load_average(const fs::path& folder, const CheckpointState& state, Model& model) {
  if (!state.files.contains(std::string("encoder") + kAverage))
    throw Error(
        Exit::config,
        fmt::format("{}: it holds no averaged weights, as the run was trained without optimizer.ema", folder.string()));
  const auto load = [&](const std::string& owner, const Arena& arena) {
    read_into(folder / file_of(owner, kAverage), state, arena, whole(arena), {{"", arena.values()}});
  };
  load("encoder", model.encoder().arena());
  for (const auto& [task, head] : model.heads()) load(owner_of(*head), head->arena());
}

void load_checkpoint(const fs::path& folder, const CheckpointState& state, Model& model, Optimizers* optimizers) {
  const auto load = [&](const std::string& owner, Arena& arena, AdamW* optimizer) {
    read_into(folder / file_of(owner, ".safetensors"), state, arena, whole(arena), {{"", arena.values()}});
    if (!optimizer) return;
    read_into(folder / file_of(owner, ".optimizer.safetensors"), state, arena, optimizer->part,
              {{"mean.", optimizer->mean}, {"square.", optimizer->square}});
    if (optimizer->average.defined())
      read_into(folder / file_of(owner, kAverage), state, arena, optimizer->part, {{"", optimizer->average}});
    const auto steps = state.optimizer_steps.find(owner);
    if (steps == state.optimizer_steps.end())
      throw Error(Exit::data,
                  fmt::format("{}: it has no optimizer_steps for {}", (folder / "state.json").string(), owner));
    optimizer->steps = steps->second;
  };
  load("encoder", model.encoder().arena(), optimizers ? &optimizers->encoder : nullptr);
  for (const auto& [task, head] : model.heads())
    load(owner_of(*head), head->arena(), optimizers ? &optimizers->heads.at(task) : nullptr);
}

}  // namespace polyhead
