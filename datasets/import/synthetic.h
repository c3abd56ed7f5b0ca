// Generates synthetic tasks of every kind, with text pairs and vectors, as JSONL files with an import description, for
// `quickstart --data synthetic` and for tests. Texts consist of words of an invented vocabulary; each task has a rule
// that a model can learn.
#pragma once

#include <cstdint>
#include <filesystem>

namespace polyhead {

struct SyntheticOptions {
  std::uint64_t seed = 1;
  std::uint64_t train = 2000;  // samples per task
  std::uint64_t valid = 200;
  std::uint64_t test = 200;
};

// Writes FOLDER/synthetic.ini and FOLDER/TASK.SPLIT.jsonl. The same options give the same bytes.
void write_synthetic(const std::filesystem::path& folder, const SyntheticOptions& options);

}  // namespace polyhead
