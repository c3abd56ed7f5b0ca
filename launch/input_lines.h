// The lines of a file, a pipe or a terminal, for a program that answers while its input waits for the answer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace polyhead {

class InputLines {
 public:
  // A file, or standard input when none is given; throws Error(data) when it cannot be opened or is a folder.
  explicit InputLines(const std::optional<std::filesystem::path>& file);
  ~InputLines();
  InputLines(const InputLines&) = delete;
  InputLines& operator=(const InputLines&) = delete;

  enum class Next { line, waiting, end };
  // The next line, without its end. `waiting`, and no line, when `wait` is false and none has come within kMoment.
  // Throws Error(data) when the input cannot be read, or a line is longer than import takes.
  Next next(std::string& line, bool wait);
  static constexpr int kMoment = 10;  // milliseconds

  std::uint64_t number() const { return number_; }  // of the line that next() returned last, from 1
  // "FILE" or "standard input", for messages.
  const std::string& name() const { return name_; }
  // Whether it is the regular file that a descriptor writes to.
  bool is_file_of(int descriptor) const;

 private:
  bool take_line(std::string& line);
  // -> whether there is more
  bool read_more();

  std::string name_;
  int descriptor_ = 0;
  bool owned_ = false, ended_ = false;
  std::string buffer_;
  std::size_t taken_ = 0, searched_ = 0;  // bytes of buffer_
  std::uint64_t number_ = 0;
};

}  // namespace polyhead
