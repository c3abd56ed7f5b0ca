// Reads samples from files in several formats. A source splits a file into records; each record becomes a sample.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "datasets/samples.h"

namespace polyhead {

// Maximum size of a record in bytes: a line, a quoted CSV record, or a sentence of CoNLL-U. It bounds the memory of an
// import.
inline constexpr std::size_t kMaxRecord = 16ULL << 20;

struct Record {
  std::uint64_t line = 0;  // its first line, from 1
  std::string content;
  std::string target;  // text, translation
};

class SampleSource {
 public:
  virtual ~SampleSource() = default;
  // Reads the next record that is not blank; false at the end. Throws Error(data), also for a record above kMaxRecord.
  virtual bool next(Record& record) = 0;
  // Returns the sample of a record, with every part checked. Throws Error(data). Any thread may call it.
  virtual Sample parse(const Record& record) const = 0;
};

// Returns a source whose samples have normalised labels (datasets/kinds/labels.h). `file` must outlive it. Throws
// Error(data) if the file cannot be opened or its header lacks a column.
std::unique_ptr<SampleSource> open_samples(const SampleFile& file);

// The sources of each format; open_samples() chooses one.
std::unique_ptr<SampleSource> open_jsonl(const SampleFile& file);
std::unique_ptr<SampleSource> open_delimited(const SampleFile& file);  // tsv, csv
std::unique_ptr<SampleSource> open_text(const SampleFile& file);
std::unique_ptr<SampleSource> open_conllu(const SampleFile& file);
std::unique_ptr<SampleSource> open_conll(const SampleFile& file);

}  // namespace polyhead
