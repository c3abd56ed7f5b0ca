// Reads the bytes of a file in blocks. gzip, Zstandard and bzip2 files are decompressed; the rows of a Parquet file
// become lines of JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "datasets/reading/decoders.h"
#include "datasets/reading/parquet.h"

namespace polyhead {

// Says what is wrong with a file's bytes and what to do, in words that follow the file's name.
struct BadStream : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class ByteStream {
 public:
  // Opens `content`, whose bytes are those of the file `name`. name_classes: see open_parquet(). Throws
  // std::system_error, and BadStream for a file in a format that import does not read.
  ByteStream(const std::filesystem::path& content, const std::filesystem::path& name, bool name_classes);
  ~ByteStream();
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  // Fills `out` as far as the file reaches and returns the number of bytes; 0 at its end. Throws BadStream, also for a
  // truncated archive.
  std::size_t read(std::span<char> out);
  // Hash of the file's own bytes; valid once the file has been read to its end.
  std::uint64_t hash() const { return hash_; }
  // Null unless the file is Parquet.
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

// Returns the path without the extension of a compression: "a.jsonl.gz" becomes "a.jsonl".
std::filesystem::path uncompressed_name(const std::filesystem::path& file);

}  // namespace polyhead
