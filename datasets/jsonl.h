// JSONL samples for import: one object a line, keys as the task's kind asks for them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "core/base/kind.h"

namespace polyhead {

struct Sample {
  std::string text;                   // of tagging: the words, separated by spaces
  std::optional<std::string> second;  // not of tagging
  std::string label;                  // classification
  std::vector<std::string> labels;    // multilabel
  std::vector<float> value;           // regression: one or more
  std::vector<std::string> words, tags;
  std::string target;  // translation
};

// A task's file of one split.
struct SampleFile {
  std::string task, split;
  Kind kind = Kind::classification;
  std::filesystem::path file;

  // Throws Error(data) naming task, file and line, with what is wrong and the cure.
  [[noreturn]] void fail(std::uint64_t line, const std::string& what) const;
  // One line's sample, every key checked; throws Error(data).
  Sample parse(std::uint64_t line, const std::string& content) const;
};

struct Line {
  std::uint64_t number = 0;  // from 1
  std::string content;
};

// The lines of a file that are not blank. Throws Error(data) when it cannot be read.
class LineReader {
 public:
  explicit LineReader(const SampleFile& file);
  bool next(Line& line);

 private:
  const SampleFile& file_;
  std::ifstream in_;
  std::uint64_t number_ = 0;
};

}  // namespace polyhead
