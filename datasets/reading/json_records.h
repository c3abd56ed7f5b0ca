// Reads objects from JSON Lines, or from a single JSON array, in bounded memory.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "datasets/reading/line_reader.h"
#include "datasets/reading/sample_source.h"

namespace polyhead {

// A file whose first character is '[' is read as an array, element by element.
class JsonRecords {
 public:
  explicit JsonRecords(const SampleFile& file) : file_(file), in_(file) {}
  // Reads the text of the next line that is not blank, or of the next element of the array; false at the end. Throws
  // Error(data), also for an array without an end.
  bool next(Record& record);

 private:
  enum class Form { unknown, lines, array, ended };
  // The state of the scan of an element.
  struct Element {
    bool string = false, whole = false;
    std::size_t depth = 0;
    std::size_t end(std::string_view text, std::size_t from);
  };
  // Returns the next character that is not white space; '\0' at the end of the file.
  char sign();
  bool next_element(Record& record);
  void read_element(Record& record);

  const SampleFile& file_;
  LineReader in_;
  Form form_ = Form::unknown;
  std::string line_;    // current line of an array
  std::size_t at_ = 0;  // in the line
  bool first_ = true;   // no element has been read yet
};

}  // namespace polyhead
