// `polyhead import`: JSONL files and an import description to a data set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/base/kind.h"

namespace polyhead {

struct ImportTask {
  std::string name;
  Kind kind = Kind::classification;
  std::map<std::string, std::filesystem::path> files;  // split -> JSONL, absolute
  std::string source, license, source_language, target_language;
};

struct ImportOptions {
  std::string name;
  std::string tokenizer = "sentencepiece";  // or "wordpiece" with vocab
  std::filesystem::path vocab;  // wordpiece: vocab.txt; sentencepiece: a model to use rather than train one, or empty
  std::int64_t vocab_size = 16000;
  std::int64_t max_length = 128;           // tokens of an input, and of a translation's target
  std::uint64_t shard_size = 64ULL << 20;  // bytes of token data a shard, about
  std::vector<ImportTask> tasks;
  int threads = 0;  // 0: all cores
};

// One line of progress for a person, for example "section/train: 46,567 samples, 1 shard".
using Progress = std::function<void(const std::string&)>;

// Writes the data set to `out`, which must be empty or not exist. Same input, same bytes. Every error names file, line
// and cure (Error(data)); nothing is left at `out` after an error.
void import_dataset(const ImportOptions& options, const std::filesystem::path& out, const Progress& progress);

}  // namespace polyhead
