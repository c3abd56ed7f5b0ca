// Reads Parquet files as lines of JSON. Implemented in datasets/parquet, or without Arrow in datasets/no_parquet.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// A file's rows, each one line with a JSON object whose keys are the columns' names.
class ParquetRows {
 public:
  virtual ~ParquetRows() = default;
  // Appends the lines of the next rows; false at the end. Throws std::runtime_error: words that follow the file's name.
  virtual bool next(std::string& lines) = 0;
  // Columns that are left out and classes that are named, one message each, to be printed after the file's name.
  virtual std::vector<std::string> notes() const = 0;
};

inline bool is_parquet(std::string_view head) {
  return head.starts_with("PAR1");
}

// Reads `descriptor`, a regular file that is open and stays so, without moving its position. With `name_classes` the
// numbers of a column that the file's schema (Hugging Face's) calls classes are replaced by the classes' names. Throws
// BadStream for a file that is damaged or encrypted, and where Parquet cannot be read at all.
std::unique_ptr<ParquetRows> open_parquet(int descriptor, const std::filesystem::path& name, bool name_classes);

}  // namespace polyhead
