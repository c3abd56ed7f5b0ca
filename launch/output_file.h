// A file that a command writes line by line: beside its place, renamed at the end, so that the command may read what
// stands there and a command that fails leaves it as it was.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace polyhead {

class OutputFile {
 public:
  // A file, or standard output when none is given. A link is followed; what is no regular file, as a pipe or /dev/null,
  // is written directly. Throws Error(cannot_write).
  explicit OutputFile(const std::optional<std::filesystem::path>& file);
  // Without commit() the lines so far stay in partial(), which is removed when there are none.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Writes at once, as readers may wait for it; throws Error(cannot_write).
  void write(std::string_view text);
  // Puts the file in its place; throws Error(cannot_write).
  void commit();
  // Where the lines are until commit(), when there are any; "" when they are written directly.
  std::filesystem::path partial() const { return written_ ? beside_ : std::filesystem::path(); }

 private:
  void open_beside(const std::filesystem::path& given);

  std::filesystem::path target_, beside_;
  int descriptor_ = -1;  // of a file
  bool written_ = false, committed_ = false;
};

}  // namespace polyhead
