// An output file that a command writes line by line. It is a temporary file that is renamed at the end, so the command
// may read the previous file, and a command that fails leaves it unchanged.
#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string_view>

namespace polyhead {

class OutputFile {
 public:
  // Opens a file, or standard output if none is given. A link is followed. A file that is not regular, such as a pipe
  // or /dev/null, is written directly. Throws Error(cannot_write).
  explicit OutputFile(const std::optional<std::filesystem::path>& file);
  // Without commit() the lines stay in partial(), which is removed if it is empty.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Writes immediately, because readers may wait for it. Throws Error(cannot_write).
  void write(std::string_view text);
  // Renames the file to its final name. Throws Error(cannot_write).
  void commit();
  // Returns the file that holds the lines until commit(); "" if there are none or they are written directly.
  std::filesystem::path partial() const { return written_ ? beside_ : std::filesystem::path(); }
  // For a process that ends now, from any thread: removes the temporary file if it is empty, and returns partial().
  std::filesystem::path abandon() const;

 private:
  void open_beside(const std::filesystem::path& given);

  std::filesystem::path target_, beside_;
  int descriptor_ = -1;  // of the file
  std::atomic<bool> written_ = false;
  bool committed_ = false;
};

}  // namespace polyhead
