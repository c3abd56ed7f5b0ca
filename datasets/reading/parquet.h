// Reads Parquet files as lines of JSON. Implemented in datasets/parquet, or in datasets/no_parquet for builds without
// Arrow.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// The rows of a file. Each becomes one line with a JSON object whose keys are the columns' names.
class ParquetRows {
 public:
  virtual ~ParquetRows() = default;
  // Appends the lines of the next rows; false at the end. Throws std::runtime_error with words that follow the file's
  // name.
  virtual bool next(std::string& lines) = 0;
  // Returns one message per column that is left out and per column whose classes are named, to be printed after the
  // file's name.
  virtual std::vector<std::string> notes() const = 0;
};

inline bool is_parquet(std::string_view head) {
  return head.starts_with("PAR1");
}

// Reads `descriptor`, an open regular file, without changing its position; it must stay open. name_classes: replace the
// numbers of a column by names, if the file's schema (Hugging Face's) says that they are classes. Throws BadStream for
// a file that is damaged or encrypted, and if the program cannot read Parquet.
std::unique_ptr<ParquetRows> open_parquet(int descriptor, const std::filesystem::path& name, bool name_classes);

}  // namespace polyhead
