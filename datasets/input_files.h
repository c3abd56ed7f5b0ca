// What an import knows of the files that it reads more than once: copies of pipes, the contents of the first reading,
// and what has been reported.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/samples.h"

namespace polyhead {

// One thread at a time may call it.
class InputFiles {
 public:
  // Copies go to `folder`, which is made when the first is needed; `report` takes one line for a person.
  InputFiles(std::filesystem::path folder, std::function<void(const std::string&)> report);
  ~InputFiles();
  InputFiles(const InputFiles&) = delete;
  InputFiles& operator=(const InputFiles&) = delete;

  // The regular file that has the bytes of `file`: itself, or the copy of a pipe, which is read once, to its end, at
  // the first call. Throws Error(data) for what can be no file of samples (a folder, a device, a pipe that nobody
  // writes to within a minute), Error(cannot_write) when the copy cannot be written.
  const std::filesystem::path& content(const SampleFile& owner, const std::filesystem::path& file);
  // `file` was read to its end, and its bytes have this hash. Throws Error(data) when they had another one before.
  void finished(const SampleFile& owner, const std::filesystem::path& file, std::uint64_t hash);
  // Reports a line, once however often it is said.
  void say(const std::string& line);
  // Removes the copies.
  void remove_copies();

 private:
  std::filesystem::path copy_pipe(const SampleFile& owner, const std::filesystem::path& file);

  std::filesystem::path folder_;
  std::function<void(const std::string&)> report_;
  std::map<std::filesystem::path, std::filesystem::path> contents_;
  std::map<std::filesystem::path, std::uint64_t> hashes_;
  std::set<std::string> said_;
};

// The error for a file whose second reading differs from the first; `what` says how.
[[noreturn]] void fail_changed(const SampleFile& file, const std::string& what);

// The files that a description names: one path, a list of them separated by commas, or patterns (train-*.jsonl), each
// relative to `folder`. A pattern's files come in the order of their names. What exists is taken as it is written.
// Throws Error(data) for a pattern that no file has, or a file that is named twice; `what` names the key for messages.
std::vector<std::filesystem::path> find_files(const std::string& list, const std::filesystem::path& folder,
                                              const std::string& what);

}  // namespace polyhead
