// Samples for import, from files of several formats: a source cuts a file into records, a record becomes a sample.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/kind.h"

namespace polyhead {

// text: one text a line, for masked_lm, and for translation with the targets in a second file.
enum class Format { jsonl, tsv, csv, text, conllu };

inline constexpr std::array<std::string_view, 5> kFormatNames = {"jsonl", "tsv", "csv", "text", "conllu"};

struct Sample {
  std::string text;                   // of tagging: the words, separated by spaces
  std::optional<std::string> second;  // not of tagging
  std::vector<float> features;        // instead of text and words: [vectors, width]
  std::size_t width = 0;              // 0: the sample has text
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
  Format format = Format::jsonl;
  std::filesystem::path target;      // text, of translation: the targets, line by line
  std::vector<std::string> columns;  // tsv, csv: the columns' names; empty: the file's first line has them
  bool xpos = false;                 // conllu: tags are column 5 rather than 4

  // Throws Error(data) naming task, file and line, with what is wrong and the cure.
  [[noreturn]] void fail(std::uint64_t line, const std::string& what) const;
};

// The longest record in bytes: a line, a quoted CSV record, a sentence of CoNLL-U. Bounds import's memory.
inline constexpr std::size_t kMaxRecord = 16ULL << 20;

struct Record {
  std::uint64_t line = 0;  // its first one, from 1
  std::string content;
  std::string target;  // text, of translation
};

class SampleSource {
 public:
  virtual ~SampleSource() = default;
  // The next record that is not blank; throws Error(data), also for one above kMaxRecord.
  virtual bool next(Record& record) = 0;
  // A record's sample, every part checked; throws Error(data). Any thread may call it.
  virtual Sample parse(const Record& record) const = 0;
};

// `file` must outlive the source. Throws Error(data) when the file cannot be opened, or its header lacks a column.
std::unique_ptr<SampleSource> open_samples(const SampleFile& file);

// Each format's own; open_samples chooses.
std::unique_ptr<SampleSource> open_jsonl(const SampleFile& file);
std::unique_ptr<SampleSource> open_delimited(const SampleFile& file);  // tsv, csv
std::unique_ptr<SampleSource> open_text(const SampleFile& file);
std::unique_ptr<SampleSource> open_conllu(const SampleFile& file);

// What the formats share.
inline constexpr std::string_view kBlanks = " \t\r\n\v\f";
bool blank(std::string_view text);
// Throws when the text is blank or not UTF-8; `key` is its name for the message.
void check_text(const SampleFile& file, std::uint64_t line, const char* key, std::string_view text);
// Tagging: as many words as tags, none empty or with white space; fills `text`.
void check_words(const SampleFile& file, std::uint64_t line, Sample& sample);

}  // namespace polyhead
