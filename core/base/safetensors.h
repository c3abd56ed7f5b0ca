// The safetensors container format (huggingface/safetensors): 8 bytes with the header's length, a JSON header, then raw
// little-endian data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/regular_file.h"

namespace polyhead {

struct StoredTensor {
  std::string dtype;  // "F32", "F64", "I64", "BF16", "F16", "U8", …
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;  // elements of `shape`, row-major, little endian
};

// Writes a file and syncs it. Tensors are in the order of their names, and the same input gives the same bytes. Returns
// xxh3-64 of the file. Throws Error(cannot_write) naming the file and the system's reason.
std::uint64_t write_safetensors(const std::filesystem::path& file, const std::map<std::string, StoredTensor>& tensors,
                                const std::map<std::string, std::string>& metadata);

// A file that is read completely. Every field of the header is checked before the data are read: no overlap, no gap,
// sizes that match the shapes, no duplicate key. Throws Error(data).
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& file);
  explicit SafetensorsFile(const RegularFile& file);
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::uint64_t hash() const { return hash_; }  // xxh3-64 of the file's bytes
  std::uint64_t values_hash() const;            // xxh3-64 of the tensors' data, in the order of their names

 private:
  struct Place {
    std::uint64_t first = 0, last = 0;  // byte range within the data
  };
  // Fills in everything except the tensors' data; returns the places of these.
  std::map<std::string, Place> read_header(std::string_view text, std::uint64_t data_bytes);

  std::string bytes_;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  std::uint64_t hash_ = 0;
};

}  // namespace polyhead
