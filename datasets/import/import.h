// `polyhead import`: converts sample files into a data set, following an import description.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/kind.h"
#include "datasets/import/target_forms.h"
#include "datasets/reading/sample_source.h"
#include "datasets/shard_writer.h"

namespace polyhead {

struct ImportTask : ReadingOptions {
  std::string name;
  Kind kind = Kind::classification;
  // Split -> its files, with absolute paths, read in this order.
  std::map<std::string, std::vector<std::filesystem::path>> files;
  // Split -> the files with a translation's targets, line by line; as many as in `files`.
  std::map<std::string, std::vector<std::filesystem::path>> targets;
  std::optional<Format> format;  // none: chosen by the extension of each file
  std::string source, license;
};

struct ImportOptions {
  std::string name;
  std::string tokenizer = "sentencepiece";  // or "wordpiece" with vocab
  std::filesystem::path pretrained;         // a pretrained model's folder, whose tokenizer replaces the two; or empty
  std::filesystem::path vocab;  // wordpiece: vocab.txt; sentencepiece: a model to use instead of training one, or empty
  std::int64_t vocab_size = 16000;
  Normalization normalization = Normalization::automatic;  // of the texts that a vocabulary is trained on
  std::int64_t max_length = 128;           // tokens or vectors of an input, tokens of a translation's target
  std::uint64_t shard_size = 64ULL << 20;  // approximate bytes per shard
  ShardStorage storage;
  std::vector<ImportTask> tasks;
  int threads = 0;  // 0: all cores
  // Adds tasks, or shards of existing tasks, to an existing data set, whose other files do not change.
  bool append = false;
  // Those of "tokenizer", "vocab_size" and "max_length" that the description gives. With `append` they must match the
  // data set; the others are taken from it.
  std::set<std::string> stated;
};

// Takes one line of progress for the user, for example "section/train: 46,567 samples, 1 shard".
using Progress = std::function<void(const std::string&)>;

// Writes the data set to `out`, which must be empty or not exist, or adds to the data set `out`.
// - The same input gives the same bytes on any number of threads.
// - Memory is bounded by kMaxRecord, the size of a shard and the tokenizer's sample of texts.
// - A pipe is read once, into a copy next to the data set.
// - Every error in the data names file, line and cure (Error(data)), also when a file changes while it is read. After
//   an error `out` is as it was before.
// - A second import to the same `out` at the same time throws Error(cannot_write).
// - If `out` is a symbolic link, the folder that it points to is used.
void import_dataset(const ImportOptions& options, const std::filesystem::path& out, const Progress& progress);

}  // namespace polyhead
