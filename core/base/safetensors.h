// The safetensors container (huggingface/safetensors): 8-byte header length, JSON header, raw little-endian data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace polyhead {

struct StoredTensor {
  std::string dtype;  // "F32", "F64", "I64", "BF16", "F16", "U8", …
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;  // shape's elements, row-major, little endian
};

// Writes a file, synced; tensors in the order of their names; the same input gives the same bytes. Returns xxh3-64 of
// the file. Throws Error(cannot_write) naming the file and the system's reason.
std::uint64_t write_safetensors(const std::filesystem::path& file, const std::map<std::string, StoredTensor>& tensors,
                                const std::map<std::string, std::string>& metadata);

// A file read whole. Every field of the header is checked (no overlap, no hole, sizes equal to the shapes'); throws
// Error(data).
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& file);
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::uint64_t hash() const { return hash_; }  // xxh3-64 of the file's bytes

 private:
  std::string bytes_;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  std::uint64_t hash_ = 0;
};

}  // namespace polyhead
