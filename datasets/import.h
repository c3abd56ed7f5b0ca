// `polyhead import`: files of samples and an import description to a data set.
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
#include "datasets/samples.h"
#include "datasets/shard_writer.h"
#include "datasets/target_forms.h"

namespace polyhead {

struct ImportTask : ReadingOptions {
  std::string name;
  Kind kind = Kind::classification;
  // Split -> its files, absolute, read one after the other.
  std::map<std::string, std::vector<std::filesystem::path>> files;
  // Split -> as many files of a translation's targets, line by line.
  std::map<std::string, std::vector<std::filesystem::path>> targets;
  std::optional<Format> format;  // none: by each file's ending
  std::string source, license;
};

struct ImportOptions {
  std::string name;
  std::string tokenizer = "sentencepiece";  // or "wordpiece" with vocab
  std::filesystem::path vocab;  // wordpiece: vocab.txt; sentencepiece: a model to use rather than train one, or empty
  std::int64_t vocab_size = 16000;
  Normalization normalization = Normalization::automatic;  // of texts, where a vocabulary is trained
  std::int64_t max_length = 128;           // tokens or vectors of an input, tokens of a translation's target
  std::uint64_t shard_size = 64ULL << 20;  // bytes of a shard, about
  ShardStorage storage;
  std::vector<ImportTask> tasks;
  int threads = 0;  // 0: all cores
  // Adds the tasks, or shards to the splits of tasks that are there, to a data set; its other files stay as they are.
  bool append = false;
  // What the description says itself of tokenizer, vocab_size and max_length: with `append` it must be
  // what the data set has. The others are taken from it.
  std::set<std::string> stated;
};

// One line of progress for a person, for example "section/train: 46,567 samples, 1 shard".
using Progress = std::function<void(const std::string&)>;

// Writes the data set to `out`, which must be empty or not exist, or adds to the data set `out`. Same input, same
// bytes, on any number of threads. Memory is bounded: by kMaxRecord, the shard's size and the tokenizer's sample of
// texts. A pipe is read once, into a copy beside the data set. Every error names file, line and cure (Error(data)),
// also when a file changes while it is read; after an error `out` is as it was. Two imports to the same `out` at once:
// the second throws Error(cannot_write). Where `out` is a symbolic link, the folder that it names is filled.
void import_dataset(const ImportOptions& options, const std::filesystem::path& out, const Progress& progress);

}  // namespace polyhead
