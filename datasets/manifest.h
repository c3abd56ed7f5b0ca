// dataset.json, which describes a data set (docs/format.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/kind.h"
#include "datasets/tokenizer/tokenizer_info.h"

namespace polyhead {

struct ShardInfo {
  std::string file;  // relative to the data set's folder
  std::uint64_t samples = 0;
  std::uint64_t bytes = 0;  // 0: not given
  std::string sha256;       // "": not given
};

struct SplitInfo {
  std::uint64_t samples = 0;
  std::uint64_t input_tokens = 0;  // 0: not given
  std::uint64_t target_tokens = 0;
  std::vector<ShardInfo> shards;
};

struct TaskInfo {
  std::string name;
  Kind kind = Kind::classification;
  std::vector<std::string> labels;   // classification, multilabel, tagging
  std::vector<std::string> outputs;  // regression with k > 1
  std::uint64_t features = 0;        // width of an input vector; 0: the inputs are tokens, or it is not given
  std::string source_language, target_language, source, license;
  std::map<std::string, SplitInfo> splits;  // "train", "valid", "test"
  std::string label_type = {};              // type of the labels in JSON: "integer", "boolean"; "": text, or not given
  bool weights = false;                     // whether the train samples have weights
};

struct Manifest {
  std::string name;
  std::uint64_t max_length = 0;  // tokens at which import truncated; 0: not given
  TokenizerInfo tokenizer;
  std::vector<TaskInfo> tasks;

  // Throws Error(config), which names the existing tasks.
  const TaskInfo& task(const std::string& name) const;
};

// Reads DIR/dataset.json and checks every field. Throws Error(data) with the file, the field and the cure.
Manifest read_manifest(const std::filesystem::path& folder);
// Writes DIR/dataset.json atomically. Throws Error(cannot_write).
void write_manifest(const std::filesystem::path& folder, const Manifest& manifest);

}  // namespace polyhead
