// Opens, reads and verifies the files of a checkpoint.
#include "distributed/checkpoint/files.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/hash.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostOpen = 256;                        // files; a process may often open 1,024
constexpr std::uint64_t kMostState = std::uint64_t{1} << 28;  // bytes of state.json

}  // namespace

CheckpointState read_checkpoint_state(const fs::path& folder) {
  const RegularFile file(folder / "state.json");
  if (file.size() > kMostState)
    throw Error(Exit::data,
                fmt::format("{}: it has {} bytes, expected at most {}", file.path().string(), file.size(), kMostState));
  CheckpointState state = checkpoint_state_from_json(file.read(), file.path().string());
  const fs::path named = folder.has_filename() ? folder : folder.parent_path();
  if (named.filename() != checkpoint_name(state.step))
    throw Error(Exit::data,
                fmt::format("{}: its step is {}, but the folder is named {}, expected {}; one of the two was changed",
                            file.path().string(), state.step, named.filename().string(), checkpoint_name(state.step)));
  return state;
}

CheckpointState verify_checkpoint(const fs::path& folder) {
  const CheckpointFiles files(folder);
  files.verify();
  return files.state();
}

CheckpointFiles::CheckpointFiles(const fs::path& folder) : CheckpointFiles(folder, read_checkpoint_state(folder)) {}

CheckpointFiles::CheckpointFiles(const fs::path& folder, CheckpointState state)
    : folder_(folder), state_(std::move(state)) {
  open_files();
}

void CheckpointFiles::open_files() {
  std::vector<std::string> names;
  for (const auto& [name, hash] : state_.files) names.push_back(name);
  // The weights come first, as they are read again when they are loaded.
  std::stable_partition(names.begin(), names.end(),
                        [](const std::string& name) { return !name.ends_with(kOptimizerFile); });
  for (const std::string& name : names) {
    if (open_.size() == kMostOpen) return;
    try {
      open_.emplace(name, RegularFile(folder_ / name));
    } catch (const Error& error) {
      if (error.code() == Exit::data) throw;
      return;  // no more files can be opened: the others are opened when they are read
    }
  }
}

template <class Use>
auto CheckpointFiles::with_file(const std::string& name, const Use& use) const {
  const auto found = open_.find(name);
  if (found != open_.end()) return use(found->second);
  return use(RegularFile(folder_ / name));
}

void CheckpointFiles::check_hash(const RegularFile& file, std::uint64_t hash) const {
  const auto expected = state_.files.find(file.path().filename().string());
  if (to_hex(hash) != expected->second)
    throw Error(Exit::data, fmt::format("{}: its content has changed since it was written (xxh3 {}, expected {})",
                                        file.path().string(), to_hex(hash), expected->second));
}

SafetensorsFile CheckpointFiles::read(const std::string& name) const {
  if (!state_.files.contains(name))
    throw Error(Exit::data,
                fmt::format("{}: it is not listed in the checkpoint's state.json", (folder_ / name).string()));
  return with_file(name, [&](const RegularFile& file) {
    try {
      SafetensorsFile tensors(file);
      check_hash(file, tensors.hash());
      return tensors;
    } catch (const Error&) {
      check_hash(file, file.hash());  // if the content has changed, report that instead
      throw;
    }
  });
}

void CheckpointFiles::check_encoder(const SafetensorsFile& file) const {
  const auto fail = [&](const std::string& what) {
    throw Error(Exit::data, fmt::format("{}: model.encoder, model.attention or model.tokenizer.vocab_size is not that "
                                        "of encoder.safetensors, {}",
                                        (folder_ / "state.json").string(), what));
  };
  std::unique_ptr<Model> model;
  try {
    model = build_model(state_.model, {});
  } catch (const Error& error) {
    fail(error.what());
  }
  const auto& parameters = model->encoder().arena().parameters();
  for (const Parameter& parameter : parameters) {
    const auto found = file.tensors().find(parameter.name);
    if (found == file.tensors().end()) fail(fmt::format("which has no tensor {}", parameter.name));
    if (found->second.shape != parameter.shape)
      fail(fmt::format("whose tensor {} has the shape {}, expected {}", parameter.name, found->second.shape,
                       parameter.shape));
  }
  if (file.tensors().size() != parameters.size())
    fail(fmt::format("which has {} tensors, expected {}", file.tensors().size(), parameters.size()));
}

void CheckpointFiles::verify() const {
  for (const auto& [name, hash] : state_.files)
    with_file(name, [&](const RegularFile& file) { check_hash(file, file.hash()); });
  // In the order of parameter_hash(): the encoder, then the heads by the name of their task.
  std::vector<std::uint64_t> hashes;
  ModelDescription by_name = state_.model;
  std::ranges::sort(by_name.tasks, {}, &TrainedTask::name);
  const std::vector<std::string> owners = checkpoint_owners(by_name);
  for (const std::string& owner : owners) {
    with_file(owner + kWeightsFile, [&](const RegularFile& open) {
      const SafetensorsFile file(open);
      if (hashes.empty()) check_encoder(file);
      hashes.push_back(file.values_hash());
    });
  }
  const std::uint64_t found = hash_bytes(hashes.data(), hashes.size() * sizeof hashes[0]);
  if (found != state_.parameter_hash)
    throw Error(Exit::data,
                fmt::format("{}: parameter_hash is {}, but the parameters in its files have {}",
                            (folder_ / "state.json").string(), to_hex(state_.parameter_hash), to_hex(found)));
}

}  // namespace polyhead
