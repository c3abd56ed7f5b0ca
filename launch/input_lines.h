// Reads lines of a file, a pipe or a terminal, for a program that must answer while its input waits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace polyhead {

class InputLines {
 public:
  // Opens a file, or standard input if none is given. Throws Error(data) if it cannot be opened or is a folder.
  explicit InputLines(const std::optional<std::filesystem::path>& file);
  ~InputLines();
  InputLines(const InputLines&) = delete;
  InputLines& operator=(const InputLines&) = delete;

  enum class Next { line, waiting, end };
  // Reads the next line, without its end. If `wait` is false and no line arrives within kMoment, it returns `waiting`
  // and no line. Throws Error(data) if the input cannot be read, or if a line is longer than import allows.
  Next next(std::string& line, bool wait);
  static constexpr int kMoment = 10;  // milliseconds

  std::uint64_t number() const { return number_; }  // of the last line that next() returned, from 1
  // "FILE" or "standard input", for messages.
  const std::string& name() const { return name_; }
  // "" for standard input.
  std::string file() const { return owned_ ? name_ : ""; }
  // Whether this is the regular file that a descriptor writes to.
  bool is_file_of(int descriptor) const;

 private:
  bool take_line(std::string& line);
  // Returns whether there is more.
  bool read_more();

  std::string name_;
  int descriptor_ = 0;
  bool owned_ = false, ended_ = false;
  std::string buffer_;
  std::size_t taken_ = 0, searched_ = 0;  // bytes of buffer_
  std::uint64_t number_ = 0;
};

}  // namespace polyhead
