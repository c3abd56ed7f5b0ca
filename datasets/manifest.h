// dataset.json: what a data set holds (docs/format.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/kind.h"

namespace polyhead {

struct ShardInfo {
  std::string file;  // relative to the data set's folder
  std::uint64_t samples = 0;
  std::uint64_t bytes = 0;  // 0: not stated
  std::string sha256;       // "": not stated
};

struct SplitInfo {
  std::uint64_t samples = 0;
  std::uint64_t input_tokens = 0;  // 0: not stated
  std::uint64_t target_tokens = 0;
  std::vector<ShardInfo> shards;
};

struct TaskInfo {
  std::string name;
  Kind kind = Kind::classification;
  std::vector<std::string> labels;   // classification, multilabel, tagging
  std::vector<std::string> outputs;  // regression with k > 1
  std::uint64_t features = 0;        // numbers of an input vector; 0: the inputs are tokens, or it is not stated
  std::string source_language, target_language, source, license;
  std::map<std::string, SplitInfo> splits;  // "train", "valid", "test"
  std::string label_type = {};              // of the labels in JSON: "integer", "boolean"; "": text, or not stated
};

struct TokenizerInfo {
  std::string kind;  // "sentencepiece" or "wordpiece"
  std::string file;  // relative to the data set's folder
  std::string sha256;
  std::int64_t vocab_size = 0;
  std::int64_t pad = 0, unk = 1, bos = 2, eos = 3, mask = 4;
  // Of wordpiece: whether texts are lowered, where a tokenizer_config.json differs from what the pieces show.
  std::optional<bool> lowercase = std::nullopt;
};
// As far as they state it.
bool same_tokenizer(const TokenizerInfo& a, const TokenizerInfo& b);

struct Manifest {
  std::string name;
  std::uint64_t max_length = 0;  // tokens, at which import cut; 0: not stated
  TokenizerInfo tokenizer;
  std::vector<TaskInfo> tasks;

  // Throws Error(config) naming the tasks there are.
  const TaskInfo& task(const std::string& name) const;
};

// Reads and checks DIR/dataset.json field by field; throws Error(data) with the file, the field and the cure.
Manifest read_manifest(const std::filesystem::path& folder);
// Writes DIR/dataset.json (beside, synced, renamed); throws Error(cannot_write).
void write_manifest(const std::filesystem::path& folder, const Manifest& manifest);

}  // namespace polyhead
