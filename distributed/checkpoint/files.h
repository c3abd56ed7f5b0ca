// A checkpoint, open for reading: its state and its files. They stay readable when a training that runs at the same
// time removes the checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "core/base/regular_file.h"
#include "core/base/safetensors.h"
#include "distributed/checkpoint/state.h"

namespace polyhead {

class CheckpointFiles {
 public:
  // Reads state.json, whose step must match the folder's name, and opens the files. If the model has very many heads,
  // it opens only the first files, and the others when they are read. Throws Error(data), which names the file.
  explicit CheckpointFiles(const std::filesystem::path& folder);
  // The same, with a state that has been read before.
  CheckpointFiles(const std::filesystem::path& folder, CheckpointState state);

  const std::filesystem::path& folder() const { return folder_; }
  const CheckpointState& state() const { return state_; }

  // Throws Error(data) if the file's hash differs from the one in the state, or if it is not a safetensors file.
  SafetensorsFile read(const std::string& name) const;
  // Checks every file's hash, the shapes of the encoder that the state describes, and the hash of the parameters.
  // Throws Error(data), which names the file and what differs.
  void verify() const;

 private:
  void open_files();
  // Calls use(RegularFile).
  template <class Use>
  auto with_file(const std::string& name, const Use& use) const;
  void check_hash(const RegularFile& file, std::uint64_t hash) const;
  void check_encoder(const SafetensorsFile& file) const;

  std::filesystem::path folder_;
  CheckpointState state_;
  std::map<std::string, RegularFile> open_;
};

// Reads state.json. Throws Error(data), which names the file, also if its step does not match the folder's name.
CheckpointState read_checkpoint_state(const std::filesystem::path& folder);
// Opens a checkpoint, verifies it (CheckpointFiles::verify) and returns its state.
CheckpointState verify_checkpoint(const std::filesystem::path& folder);

}  // namespace polyhead
