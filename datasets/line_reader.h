// A text file line by line, in bounded memory, decompressed where it is an archive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "datasets/byte_stream.h"
#include "datasets/samples.h"

namespace polyhead {

// Throws Error(data) when the file cannot be opened or read, its archive is cut off or damaged, or a line is longer
// than kMaxRecord; `owner` is for messages. A byte order mark is left out. At its end the file is closed.
class LineReader {
 public:
  explicit LineReader(const SampleFile& owner) : LineReader(owner, owner.file) {}
  LineReader(const SampleFile& owner, const std::filesystem::path& file);
  // Appends the next line, without its '\n', to `out`, which may hold kMaxRecord bytes in all; false at the end.
  bool append(std::string& out);
  // The next line, without its '\n' and a '\r' before it.
  bool next(std::string& line);
  std::uint64_t number() const { return number_; }  // of the line read last, from 1

 private:
  bool fill();

  SampleFile owner_;  // its file is the one that is read
  std::unique_ptr<ByteStream> in_;
  std::string buffer_;
  std::string_view rest_;  // of the buffer
  std::uint64_t number_ = 0;
};

}  // namespace polyhead
