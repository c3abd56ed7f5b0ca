// One HDF5 shard of the dataset format (docs/format.md), opened with every rule checked.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/manifest.h"

namespace polyhead {

inline constexpr std::uint16_t kNotScored = 65535;            // in /target/tags
inline constexpr std::uint64_t kIntegrityBlock = 1ULL << 20;  // bytes

// What the manifest says of a shard.
struct ShardExpectation {
  std::string task, split;
  Kind kind = Kind::classification;
  std::uint64_t vocab_size = 0;
  std::uint64_t classes = 0;  // labels
  std::uint64_t outputs = 1;  // regression
  ShardInfo info;             // samples, and bytes and sha256 where stated
};

// A dataset's numbers in file order: mapped from the file or held in memory. Addresses need not be aligned.
struct Column {
  const std::byte* data = nullptr;
  std::uint64_t size = 0;  // elements
  unsigned element = 0;    // bytes
  std::vector<std::byte> owned;

  template <class T>
  T at(std::uint64_t i) const {
    T value;
    std::memcpy(&value, data + i * sizeof(T), sizeof(T));
    return value;
  }
  // A token: u16 or u32.
  std::uint32_t token(std::uint64_t i) const { return element == 2 ? at<std::uint16_t>(i) : at<std::uint32_t>(i); }
};

// An open shard. The constructor checks it against the format and the manifest and throws Error(data) naming file and
// place; HDF5 is not used afterwards, so reading needs no lock. Columns that the kind or the file does not have are
// empty (data = nullptr and element = 0).
class Shard {
 public:
  Shard(const std::filesystem::path& file, const ShardExpectation& expected);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  std::uint64_t samples() const { return samples_; }

  Column input, input_offsets, second, input_text, input_text_offsets;
  Column label, labels, value, tags, target, target_offsets, target_text, target_text_offsets;

 private:
  std::uint64_t samples_ = 0;
  void* map_ = nullptr;
  std::size_t map_bytes_ = 0;
};

// Checks a whole shard: its SHA-256 and size where stated, every checksum and every rule of the format, those between
// data sets included. Throws Error(data) that names the file and the place of the first fault.
void check_shard(const std::filesystem::path& file, const ShardExpectation& expected);

}  // namespace polyhead
