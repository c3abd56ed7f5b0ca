// A checkpoint, open for reading: its state and its files, which stay readable when a training beside takes the
// checkpoint away.
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
  // Reads state.json, whose step must be that of the folder's name, and opens the files (of a model with very many
  // heads the first ones; the others when they are read). Throws Error(data) naming the file.
  explicit CheckpointFiles(const std::filesystem::path& folder);
  // The same with a state that is known already.
  CheckpointFiles(const std::filesystem::path& folder, CheckpointState state);

  const std::filesystem::path& folder() const { return folder_; }
  const CheckpointState& state() const { return state_; }

  // Throws Error(data) when the file's hash is not the state's, or it is no safetensors file.
  SafetensorsFile read(const std::string& name) const;
  // Every file's hash, the shapes of the encoder that the state describes, and the parameters' hash. Throws
  // Error(data) naming the file and what differs.
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

// Reads state.json; throws Error(data) naming the file, and where its step is not that of the folder's name.
CheckpointState read_checkpoint_state(const std::filesystem::path& folder);
// CheckpointFiles::verify; returns the state.
CheckpointState verify_checkpoint(const std::filesystem::path& folder);

}  // namespace polyhead
