// Reads a text file line by line, in bounded memory. Compressed files are decompressed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "datasets/reading/byte_stream.h"
#include "datasets/reading/sample_source.h"

namespace polyhead {

// Skips a byte order mark, and closes the file at its end. Throws Error(data) if the file cannot be opened or read, if
// its archive is truncated or damaged, or if a line is longer than kMaxRecord. owner: for messages.
class LineReader {
 public:
  explicit LineReader(const SampleFile& owner) : LineReader(owner, owner.file) {}
  LineReader(const SampleFile& owner, const std::filesystem::path& file);
  // Appends the next line, without its '\n', to `out`, which may have at most kMaxRecord bytes; false at the end.
  bool append(std::string& out);
  // Reads the next line, without its '\n' or "\r\n"; false at the end.
  bool next(std::string& line);
  std::uint64_t number() const { return number_; }  // of the last line read, from 1

 private:
  bool fill();

  SampleFile owner_;  // with `file` set to the file that is read
  std::unique_ptr<ByteStream> in_;
  std::string buffer_;
  std::string_view rest_;  // of the buffer
  std::uint64_t number_ = 0;
};

}  // namespace polyhead
