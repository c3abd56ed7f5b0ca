// Samples for import, from files of several formats: a source cuts a file into records, a record becomes a sample.
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

#include "core/base/kind.h"

namespace polyhead {

// text: one text a line, for masked_lm, and for translation with the targets in a second file.
enum class Format { jsonl, tsv, csv, text, conllu, conll };

inline constexpr std::array<std::string_view, 6> kFormatNames = {"jsonl", "tsv", "csv", "text", "conllu", "conll"};

// Whether a table's first line holds the columns' names. automatic: unless the description names the columns in order.
enum class Header { automatic, yes, no };
inline constexpr std::array<std::string_view, 3> kHeaderNames = {"auto", "yes", "no"};

// How a task's files are read, as the import description says.
struct ReadingOptions {
  std::vector<std::string> columns;           // tsv, csv: the columns' names in the order of the file
  std::map<std::string, std::string> fields;  // jsonl, tsv, csv: part of a sample -> the file's name for it
  Header header = Header::automatic;          // tsv, csv, conll
  std::optional<bool> quoting;                // tsv, csv: fields may be quoted; none: csv's may
  bool xpos = false;                          // conllu: tags are column 5 rather than 4
  std::size_t word_column = 1;                // conll: from 1
  std::size_t tag_column = 0;                 // conll: from 1; 0: the last
  std::vector<std::string> label_names;       // of labels that are numbers: that of 0, of 1, …
  bool strip_labels = false;                  // white space at their ends is left out
  bool compose_labels = false;                // they are put into Unicode's form C
  std::optional<bool> bio;                    // tagging: tags in IOB1 and IOBES become BIO; none: those of conll do
  std::vector<std::string> no_label;          // classification: samples with one of these labels are left out
  std::string group;                          // jsonl, tsv, csv: what shares are drawn by, instead of the text
  double valid_share = 0, test_share = 0;     // of the train files, by hash
  std::string source_language, target_language;
};

// What a label of JSON was; labels of other formats are text.
enum class LabelForm { text, integer, boolean };

struct Sample {
  std::string text;                   // of tagging: the words, separated by spaces
  std::optional<std::string> second;  // not of tagging
  std::vector<float> features;        // instead of text and words: [vectors, width]
  std::size_t width = 0;              // 0: the sample has text
  std::string label;                  // classification
  std::vector<std::string> labels;    // multilabel
  LabelForm label_form = LabelForm::text;
  std::vector<float> value;   // regression: one or more
  std::vector<double> exact;  // the same before they are rounded
  std::vector<std::string> words, tags;
  std::string target;            // translation
  std::string group;             // where the description names one
  bool left_out = false;         // it has no label
  std::size_t changed_tags = 0;  // that were written in another scheme than BIO
};

class InputFiles;
struct Place;

// A task's file of one split.
struct SampleFile : ReadingOptions {
  std::string task, split;
  Kind kind = Kind::classification;
  std::filesystem::path file;
  Format format = Format::jsonl;
  std::filesystem::path target;        // text, of translation: the targets, line by line
  std::vector<SampleFile> rest;        // the split's further files, read after this one
  bool shared = false;                 // the split is drawn from the train files, by valid_share and test_share
  std::shared_ptr<InputFiles> inputs;  // of an import; null: the file is read once, as it is

  // Throws Error(data) naming task, file and line, with what is wrong and the cure.
  [[noreturn]] void fail(std::uint64_t line, const std::string& what) const;
  // The same of a sample of this split.
  [[noreturn]] static void fail(const Place& place, const std::string& what);
};

// Where a sample begins: a split may have several files.
struct Place {
  const SampleFile* file = nullptr;
  std::uint64_t line = 0;
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

// A source whose samples' labels are tidied (datasets/labels.h). `file` must outlive it. Throws Error(data) when the
// file cannot be opened, or its header lacks a column.
std::unique_ptr<SampleSource> open_samples(const SampleFile& file);

// Each format's own; open_samples chooses.
std::unique_ptr<SampleSource> open_jsonl(const SampleFile& file);
std::unique_ptr<SampleSource> open_delimited(const SampleFile& file);  // tsv, csv
std::unique_ptr<SampleSource> open_text(const SampleFile& file);
std::unique_ptr<SampleSource> open_conllu(const SampleFile& file);
std::unique_ptr<SampleSource> open_conll(const SampleFile& file);

// What the formats share.
inline constexpr std::string_view kBlanks = " \t\r\n\v\f";
bool blank(std::string_view text);
// Throws when the text is blank or not UTF-8; `key` is its name for the message.
void check_text(const SampleFile& file, std::uint64_t line, const char* key, std::string_view text);
// Tagging: as many words as tags, none empty or with white space; fills `text`.
void check_words(const SampleFile& file, std::uint64_t line, Sample& sample);

}  // namespace polyhead
