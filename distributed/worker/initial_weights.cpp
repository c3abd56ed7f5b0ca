// Finds, compares and copies another run's weights.
#include "distributed/worker/initial_weights.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/names.h"
#include "core/base/safetensors.h"
#include "core/exchange/hugging_face.h"
#include "core/kinds/registry.h"
#include "distributed/checkpoint/load.h"
#include "distributed/checkpoint/store.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

std::string who(const InitialWeights& initial) {
  return fmt::format("run.init_from = {}", initial.run_dir.string());
}

const TrainedTask* find_task(const ModelDescription& model, const std::string& name) {
  const auto found = std::ranges::find(model.tasks, name, &TrainedTask::name);
  return found == model.tasks.end() ? nullptr : &*found;
}

// Options that say which tensors the encoder has, or what they mean; by key, as text.
std::vector<std::pair<std::string, std::string>> form_of(const ModelDescription& model) {
  const EncoderOptions& e = model.encoder;
  std::vector<std::pair<std::string, std::string>> keys;
  const auto add = [&](const char* key, const auto& value) { keys.emplace_back(key, fmt::format("{}", value)); };
  add("encoder.form", name_of(e.form));
  add("encoder.layers", e.layers);
  add("encoder.dim", e.dim);
  add("encoder.heads", e.heads);
  add("encoder.ffn", e.ffn);
  if (e.form == EncoderForm::bert) {
    add("encoder.positions", e.positions);
    add("encoder.token_types", e.token_types);
    add("encoder.norm_epsilon", e.norm_epsilon);
    add("encoder.activation", name_of(e.activation));
  }
  add("encoder.share", name_of(e.share));
  if (e.share == Sharing::adapters || e.share == Sharing::mtan) add("encoder.adapter_dim", e.adapter_dim);
  if (e.share == Sharing::mmoe || e.share == Sharing::ple) {
    add("encoder.experts", e.experts);
    add("encoder.expert_layers", e.expert_layers);
  }
  if (e.share == Sharing::ple) add("encoder.task_experts", e.task_experts);
  if (is_lora(e.share)) {
    add("encoder.lora_rank", e.lora_rank);
    add("encoder.lora_alpha", e.lora_alpha);
    add("encoder.lora_targets", fmt::format("{}", fmt::join(e.lora_targets, ", ")));
  }
  add("attention.mode", name_of(model.attention.mode));
  if (has_queries(model.attention.mode)) add("attention.heads", model.attention.heads);
  return keys;
}

// Whether this model adds parts to a plain encoder of the other one that begin without an effect.
bool extends(const ModelDescription& here, const ModelDescription& there) {
  return there.encoder.share == Sharing::hard &&
         (here.encoder.share == Sharing::adapters || is_lora(here.encoder.share));
}

void check_encoder(const InitialWeights& initial, const ModelDescription& here, const ModelDescription& there) {
  const auto mine = form_of(here);
  const std::map<std::string, std::string> theirs = [&] {
    const auto keys = form_of(there);
    return std::map<std::string, std::string>(keys.begin(), keys.end());
  }();
  for (const auto& [key, value] : mine) {
    const auto found = key == "encoder.share" && extends(here, there) ? theirs.end() : theirs.find(key);
    if (found != theirs.end() && found->second != value)
      throw Error(Exit::config, fmt::format("{}: {} = {} in that run and {} in this one, so its encoder does not fit; "
                                            "give {} = {}, or leave run.init_from out",
                                            who(initial), key, found->second, value, key, found->second));
  }
  if (!same_tokenizer(there.tokenizer, here.tokenizer))
    throw Error(Exit::config,
                fmt::format("{}: that run has another tokenizer than the data set, so its tokens mean other words; "
                            "import the data with dataset.tokenizer = {} and dataset.vocab = {}",
                            who(initial), there.tokenizer.kind, (initial.run_dir / there.tokenizer.file).string()));
}

std::string file_of(const std::string& owner, bool average) {
  return owner + (average ? ".ema.safetensors" : ".safetensors");
}

// Returns the tasks of `here` whose heads are copied.
std::vector<std::string> taken_heads(const ModelDescription& here, const ModelDescription& there) {
  std::vector<std::string> names;
  for (const TrainedTask& task : here.tasks) {
    const TrainedTask* other = find_task(there, task.name);
    if (other != nullptr && why_fresh(task, *other).empty()) names.push_back(task.name);
  }
  return names;
}

// How rows of an encoder's table belong to tasks: `common` rows, then `per_task` rows of each task.
struct TaskTable {
  std::int64_t common = 0, per_task = 0;
};
std::optional<TaskTable> task_table(const std::string& name, const ModelDescription& model) {
  const std::int64_t no_task = model.attention.mode == AttentionMode::competitive ? 1 : 0;
  if (name == "tasks.queries" || name == "tasks.importance") return TaskTable{no_task, 1};
  if (name.ends_with(".gate") && model.encoder.share == Sharing::ple)
    return TaskTable{model.encoder.experts, model.encoder.task_experts};
  return std::nullopt;
}

torch::Tensor tensor_of(const StoredTensor& stored) {
  const auto type = stored.dtype == "F64" ? torch::kFloat64 : torch::kFloat32;
  return torch::from_blob(const_cast<std::byte*>(stored.data.data()), stored.shape, torch::TensorOptions().dtype(type))
      .clone();
}

class Copier {
 public:
  Copier(const InitialWeights& initial, const FoundCheckpoint& found, const ModelDescription& here)
      : initial_(initial), found_(found), here_(here) {}

  // Returns the names of the arena's tensors that are not in the file.
  std::vector<std::string> copy(const std::string& owner, const Arena& arena) const {
    const fs::path path = found_.folder / file_of(owner, initial_.weights.average);
    const SafetensorsFile file(path);
    if (to_hex(file.hash()) != found_.state.files.at(path.filename().string()))
      throw Error(Exit::data, fmt::format("{}: {} has changed since it was written", who(initial_), path.string()));
    const torch::NoGradGuard guard;
    std::vector<std::string> missing;
    for (const Parameter& parameter : arena.parameters()) {
      const auto stored = file.tensors().find(parameter.name);
      if (stored == file.tensors().end())
        missing.push_back(parameter.name);
      else
        copy_tensor(path, parameter, tensor_of(stored->second), owner == "encoder");
    }
    return missing;
  }

 private:
  // Only the encoder's gates have rows for each task; those of a head have rows for its experts only.
  void copy_tensor(const fs::path& path, const Parameter& parameter, const torch::Tensor& from, bool of_encoder) const {
    torch::Tensor to = parameter.tensor;
    const std::optional<TaskTable> table = of_encoder ? task_table(parameter.name, here_) : std::nullopt;
    const bool fits = table ? from.sizes().slice(1) == to.sizes().slice(1) : from.sizes() == to.sizes();
    if (!fits)
      throw Error(Exit::config, fmt::format("{}: {}: tensor {} has another shape than in this run; give the options of "
                                            "that run, or leave run.init_from out",
                                            who(initial_), path.string(), parameter.name));
    if (!table) {
      to.copy_(from);
      return;
    }
    to.narrow(0, 0, table->common).copy_(from.narrow(0, 0, table->common));
    for (std::size_t i = 0; i < here_.tasks.size(); ++i) {
      const TrainedTask* other = find_task(found_.state.model, here_.tasks[i].name);
      if (other == nullptr) continue;
      const auto row = [&](std::int64_t task) { return table->common + task * table->per_task; };
      to.narrow(0, row(static_cast<std::int64_t>(i)), table->per_task)
          .copy_(from.narrow(0, row(other - found_.state.model.tasks.data()), table->per_task));
    }
  }

  const InitialWeights& initial_;
  const FoundCheckpoint& found_;
  const ModelDescription& here_;
};

FoundCheckpoint find_source(InitialWeights& initial) {
  std::unique_ptr<FoundCheckpoint> found;
  try {
    found = choose_checkpoint(initial.run_dir, initial.weights.checkpoint, initial.warnings);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", who(initial), error.what()));
  }
  if (!found)
    throw Error(Exit::config,
                fmt::format("{}: it holds no checkpoint; give the folder of a run that polyhead train has "
                            "saved",
                            who(initial)));
  return std::move(*found);
}

// Throws Error(config) on every worker if their hashes differ. Collective.
void agree(const char* what, const std::string& hash, const std::string& from, const char* cure, Communicator& world) {
  const std::vector<std::string> all = world.all_gather_strings(what, hash);
  const auto other = std::ranges::find_if(all, [&](const std::string& one) { return one != all[0]; });
  if (other != all.end())
    throw Error(Exit::config, fmt::format("{}: worker {} has found other weights there than worker 0; {}", from,
                                          other - all.begin(), cure));
}

}  // namespace

std::string why_fresh(const TrainedTask& here, const TrainedTask& there) {
  if (here.kind != there.kind) return fmt::format("its kind is {} there", name_of(there.kind));
  if (here.labels != there.labels) return "its labels differ";
  if (here.outputs != there.outputs) return "its outputs differ";
  if (here.head.head != there.head.head || here.head.own != there.head.own) return "its head differs";
  const std::string option = task_kind(here.kind).shape_difference(here.head, there.head);
  return option.empty() ? "" : fmt::format("its {} differ", option);
}

void resolve_initial_weights(InitialWeights& initial, const ModelDescription& here) {
  const FoundCheckpoint found = find_source(initial);
  check_encoder(initial, here, found.state.model);
  std::vector<std::string> owners = {"encoder"};
  for (const std::string& task : taken_heads(here, found.state.model)) owners.push_back(file_stem("head." + task));
  std::string hashes;
  for (const std::string& owner : owners) {
    const auto file = found.state.files.find(file_of(owner, initial.weights.average));
    if (file == found.state.files.end())
      throw Error(Exit::config,
                  fmt::format("{}: its checkpoint of step {} holds no averaged weights, as it was trained "
                              "without optimizer.ema; leave run.init_weights out",
                              who(initial), found.state.step));
    hashes += file->second;
  }
  initial.weights.checkpoint = std::to_string(found.state.step);
  initial.hash = to_hex(hash_bytes(hashes));
}

void agree_on_initial_weights(const InitialWeights& initial, Communicator& world) {
  agree("initial_weights", initial.hash, who(initial),
        "if that run is still training, set run.init_checkpoint to a checkpoint that it keeps", world);
}

std::string load_initial_weights(const InitialWeights& initial, const ModelDescription& here, Model& model) {
  InitialWeights source = initial;
  const FoundCheckpoint found = find_source(source);
  const ModelDescription& there = found.state.model;
  const Copier copier(initial, found, here);
  const std::vector<std::string> missing = copier.copy("encoder", model.encoder().arena());
  const std::vector<std::string> taken = taken_heads(here, there);
  for (const auto& [task, head] : model.heads()) {
    const std::string& name = here.tasks.at(task).name;
    if (std::ranges::count(taken, name) == 0) continue;
    const std::string owner = file_stem("head." + name);
    for (const std::string& lacks : copier.copy(owner, head->arena()))
      if (!extends(here, there) || !lacks.starts_with("encoder."))
        throw Error(Exit::config,
                    fmt::format("{}: {} there has no tensor {}; leave run.init_from out", who(initial), owner, lacks));
  }
  std::string text = fmt::format("starts from {} of {} after step {}: the encoder",
                                 initial.weights.average ? "the averaged weights" : "the weights",
                                 initial.run_dir.string(), found.state.step);
  if (!missing.empty()) text += fmt::format(" (without {}, which starts fresh)", fmt::join(missing, ", "));
  if (!taken.empty()) text += fmt::format(", the heads of {}", fmt::join(taken, ", "));
  std::vector<std::string> fresh;
  for (const TrainedTask& task : here.tasks) {
    if (std::ranges::count(taken, task.name) > 0) continue;
    const TrainedTask* other = find_task(there, task.name);
    fresh.push_back(
        fmt::format("{} ({})", task.name, other == nullptr ? "that run has no such task" : why_fresh(task, *other)));
  }
  if (!fresh.empty()) text += fmt::format("; these heads start fresh: {}", fmt::join(fresh, ", "));
  return text + "; the optimizer starts fresh";
}

std::string load_pretrained_weights(const PretrainedWeights& pretrained, const Arena& encoder, Communicator& world) {
  const std::string from = fmt::format("encoder.from = {}", pretrained.folder.string());
  agree("pretrained_weights", pretrained.hash, from, "give all workers the same files", world);
  const PretrainedEncoder found = read_pretrained(pretrained.folder);
  const LoadedTensors loaded = load_pretrained(pretrained.folder, found, encoder);
  std::string text = fmt::format("the encoder starts from {} ({}, {} blocks of width {})", pretrained.folder.string(),
                                 found.model_type, found.options.layers, found.options.dim);
  if (!loaded.fresh.empty()) text += fmt::format("; newly initialised: {}", fmt::join(loaded.fresh, ", "));
  if (!loaded.unused.empty()) text += fmt::format("; not used: {}", fmt::join(loaded.unused, ", "));
  return text;
}

}  // namespace polyhead
