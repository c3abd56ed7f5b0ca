// Objects out of a file of JSON Lines, or out of one JSON array, in bounded memory.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "datasets/line_reader.h"
#include "datasets/samples.h"

namespace polyhead {

// A file whose first sign is '[' is an array; its elements are read one after the other.
class JsonRecords {
 public:
  explicit JsonRecords(const SampleFile& file) : file_(file), in_(file) {}
  // The text of the next line that is not blank, or of the array's next element. Throws Error(data), also for an array
  // without its end.
  bool next(Record& record);

 private:
  enum class Form { unknown, lines, array, ended };
  // What has been seen of an element.
  struct Element {
    bool string = false, whole = false;
    std::size_t depth = 0;
    std::size_t end(std::string_view text, std::size_t from);
  };
  // The next sign that is no blank; '\0' at the end of the file.
  char sign();
  bool next_element(Record& record);
  void read_element(Record& record);

  const SampleFile& file_;
  LineReader in_;
  Form form_ = Form::unknown;
  std::string line_;    // of an array
  std::size_t at_ = 0;  // in the line
  bool first_ = true;   // no element was read
};

}  // namespace polyhead
