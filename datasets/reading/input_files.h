// State of the files that an import reads more than once: copies of pipes, hashes of the first reading, and the lines
// that have been reported.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/reading/sample_source.h"

namespace polyhead {

// It must not be used by two threads at the same time.
class InputFiles {
 public:
  // Copies are written to `folder`, which is created when the first one is needed. `report` takes one line for the
  // user.
  InputFiles(std::filesystem::path folder, std::function<void(const std::string&)> report);
  ~InputFiles();
  InputFiles(const InputFiles&) = delete;
  InputFiles& operator=(const InputFiles&) = delete;

  // Returns a regular file with the bytes of `file`: the file itself, or the copy of a pipe, which the first call reads
  // to its end. Throws Error(data) if it cannot be a file of samples (a folder, a device, a pipe without a writer for a
  // minute), and Error(cannot_write) if the copy cannot be written.
  const std::filesystem::path& content(const SampleFile& owner, const std::filesystem::path& file);
  // Must be called when `file` has been read to its end, with the hash of its bytes. Throws Error(data) if an earlier
  // reading had another hash.
  void finished(const SampleFile& owner, const std::filesystem::path& file, std::uint64_t hash);
  // Reports a line, but only the first time it is called with it.
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

// Throws the error for a file whose second reading differs from the first. what: how it differs.
[[noreturn]] void fail_changed(const SampleFile& file, const std::string& what);

// Returns the files that a description names: a path, or a list of paths and patterns (train-*.jsonl) separated by
// commas, relative to `folder`. Files of a pattern are in the order of their names. A name that exists is not read as a
// list or pattern. Throws Error(data) for a pattern without a match and for a file that is named twice. what: the key,
// for messages.
std::vector<std::filesystem::path> find_files(const std::string& list, const std::filesystem::path& folder,
                                              const std::string& what);

}  // namespace polyhead
