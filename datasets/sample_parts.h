// The parts of one sample of a file by their names: the keys of a JSON object, or the fields of a table's row.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/samples.h"

namespace polyhead {

// Every function that reads a part throws Error(data) with file and line if the part is missing or invalid.
class SampleParts {
 public:
  SampleParts(const SampleFile& file, std::uint64_t line) : file_(file), line_(line) {}
  virtual ~SampleParts() = default;

  const SampleFile& file() const { return file_; }
  std::uint64_t line() const { return line_; }
  [[noreturn]] void fail(const std::string& what) const { file_.fail(line_, what); }

  // Whether the part is given. null, white space and an empty field of a table are not.
  virtual bool has(std::string_view part) const = 0;
  // Whether the input is vectors, `features`.
  virtual bool has_vectors() const = 0;
  // Reads `features`, or `text` and where it is given `second`.
  virtual void input(Sample& sample) const = 0;
  // Returns a text that is not blank.
  virtual std::string text(std::string_view part) const = 0;
  // Returns one text, or the texts of a list of JSON.
  virtual std::vector<std::string> texts(std::string_view part) const = 0;
  // Returns words: a list of JSON, or words separated by spaces.
  virtual std::vector<std::string> words(std::string_view part) const = 0;
  // Return a label, one label per word, and a set of labels, which may be empty. Numbers, true and false of JSON become
  // names; label_form says what they were. A table separates the labels of words by spaces, those of a set by '|'.
  virtual std::string label(std::string_view part, Sample& sample) const = 0;
  virtual std::vector<std::string> word_labels(std::string_view part, Sample& sample) const = 0;
  virtual std::vector<std::string> label_set(std::string_view part, Sample& sample) const = 0;
  // Appends one or more numbers to the sample's `value` and `exact`. A table separates them by spaces.
  virtual void numbers(std::string_view part, Sample& sample) const = 0;
  // Reads the sample's weight if it is given.
  void weight(Sample& sample) const;

 private:
  const SampleFile& file_;
  std::uint64_t line_;
};

}  // namespace polyhead
