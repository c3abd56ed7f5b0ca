// Samples of tasks, as import reads them from files.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/character_range.h"
#include "core/base/kind.h"
#include "core/base/text.h"

namespace polyhead {

// text: one text per line, for masked_lm, and for translation with the targets in a second file.
enum class Format { jsonl, tsv, csv, text, conllu, conll };

inline constexpr std::array<std::string_view, 6> kFormatNames = {"jsonl", "tsv", "csv", "text", "conllu", "conll"};

// Whether the first line of a table holds column names. automatic: yes, unless the description lists the columns in
// order.
enum class Header { automatic, yes, no };
inline constexpr std::array<std::string_view, 3> kHeaderNames = {"auto", "yes", "no"};

// How to read a task's files, from the import description.
struct ReadingOptions {
  std::vector<std::string> columns;           // tsv, csv: names of the columns in the order of the file
  std::map<std::string, std::string> fields;  // jsonl, tsv, csv: part of a sample -> name in the file
  Header header = Header::automatic;          // tsv, csv, conll
  std::optional<bool> quoting;                // tsv, csv: whether fields may be quoted; none: yes for csv
  bool xpos = false;                          // conllu: tags are in column 5 rather than 4
  std::size_t word_column = 1;                // conll: from 1
  std::size_t tag_column = 0;                 // conll: from 1; 0: the last
  std::vector<std::string> label_names;       // for labels that are numbers: names of 0, 1, …
  bool strip_labels = false;                  // strip white space and invisible characters at both ends of labels
  bool compose_labels = false;                // convert labels to Unicode's form C
  std::optional<bool> bio;            // tagging: convert tags in IOB1, IOBES and BILOU to BIO; none: yes for conll
  std::vector<std::string> no_label;  // classification: samples with one of these labels are left out
  bool weights = true;                // jsonl, tsv, csv: whether `weight` is read
  std::string group;                  // jsonl, tsv, csv: key or column that shares are drawn by, instead of the text
  double valid_share = 0, test_share = 0;  // fractions of the train files, selected by a hash
  std::string source_language, target_language;
};

// The type of a label in JSON; labels of other formats are text.
enum class LabelForm { text, integer, boolean };

struct Sample {
  std::string text;                   // tagging: the words, separated by spaces
  std::optional<std::string> second;  // not for tagging
  std::vector<float> features;        // instead of text and words: [vectors, width]
  std::size_t width = 0;              // 0: the sample has text
  std::string label;                  // classification
  std::vector<std::string> labels;    // multilabel
  LabelForm label_form = LabelForm::text;
  std::vector<float> value;   // regression: one or more values
  std::vector<double> exact;  // the same values before rounding
  std::vector<std::string> words, tags;
  std::string target;                   // translation
  CharacterRange answer;                // span: in `second`, without white space at its ends
  std::vector<std::string> references;  // span: all answers as texts; `answer` is the first
  std::optional<float> weight;          // of its loss; none: 1
  std::string group;                    // if the description names one
  bool left_out = false;                // whether the sample has no label
  std::size_t changed_tags = 0;         // number of tags that were converted to BIO
};

class InputFiles;
struct Place;

// A file of one split of a task.
struct SampleFile : ReadingOptions {
  std::string task, split;
  Kind kind = Kind::classification;
  std::filesystem::path file;
  Format format = Format::jsonl;
  std::filesystem::path target;        // text, translation: file with the targets, line by line
  std::vector<SampleFile> rest;        // other files of the split, read after this one
  bool shared = false;                 // whether the split is a share of the train files (valid_share, test_share)
  std::shared_ptr<InputFiles> inputs;  // of the import; null: the file is read once, directly

  // Throws Error(data), which names task, file and line, with what is wrong and the cure.
  [[noreturn]] void fail(std::uint64_t line, const std::string& what) const;
  // The same for a sample of this split.
  [[noreturn]] static void fail(const Place& place, const std::string& what);
};

// Where a sample begins. A split may have several files.
struct Place {
  const SampleFile* file = nullptr;
  std::uint64_t line = 0;
};

bool blank(std::string_view text);
// Throws Error(data) if the text is blank or not UTF-8. key: name of the text, for the message.
void check_text(const SampleFile& file, std::uint64_t line, std::string_view key, std::string_view text);

}  // namespace polyhead
