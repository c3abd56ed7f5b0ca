// A file's bytes in blocks, decompressed where the file is gzip, Zstandard or bzip2; of Parquet the rows as lines of
// JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "datasets/decoders.h"
#include "datasets/parquet.h"

namespace polyhead {

// What is wrong with a file's bytes, and the cure: words that follow the file's name.
struct BadStream : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class ByteStream {
 public:
  // Opens `content`, which has the bytes of `name`. Throws std::system_error; BadStream for a file of a format that
  // import does not read. `name_classes`: see open_parquet.
  ByteStream(const std::filesystem::path& content, const std::filesystem::path& name, bool name_classes);
  ~ByteStream();
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  // Fills `out` as far as the file reaches; 0 at its end. Throws BadStream, also for an archive that is cut off.
  std::size_t read(std::span<char> out);
  // Of the file's own bytes, once it was read to its end.
  std::uint64_t hash() const { return hash_; }
  // Where the file is Parquet; else null.
  const ParquetRows* parquet() const { return rows_.get(); }

 private:
  void fill();
  std::size_t read_rows(std::span<char> out);

  std::filesystem::path name_;
  int descriptor_ = -1;
  std::string buffer_;
  std::string_view rest_;  // of the buffer
  bool ended_ = false, started_ = false;
  std::string_view compression_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<ParquetRows> rows_;
  std::string lines_;           // of rows_
  std::size_t lines_read_ = 0;  // of lines_, in bytes
  std::uint64_t hash_ = 0;
};

// A path without the ending of a compression: "a.jsonl.gz" is "a.jsonl".
std::filesystem::path uncompressed_name(const std::filesystem::path& file);

}  // namespace polyhead
