// One HDF5 shard of the dataset format (docs/format.md): writing it, and opening it with every rule checked.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/manifest.h"

namespace polyhead {

inline constexpr std::uint16_t kNotScored = 65535;            // in /target/tags
inline constexpr std::uint64_t kIntegrityBlock = 1ULL << 20;  // bytes

// Sequences one after another; sequence i is values[offsets[i]:offsets[i+1]].
template <class T>
struct Ragged {
  std::vector<T> values;
  std::vector<std::uint64_t> offsets = {0};

  std::uint64_t size() const { return offsets.size() - 1; }
  template <class Range>
  void push(const Range& sequence) {
    values.insert(values.end(), sequence.begin(), sequence.end());
    offsets.push_back(values.size());
  }
};

// What a shard holds. Optional parts are written when they have as many entries as there are samples (and are there at
// all).
struct ShardContent {
  std::string task, split;
  Kind kind = Kind::classification;
  std::uint64_t vocab_size = 0;  // u16 tokens to 65536, else u32
  Ragged<std::uint32_t> input;
  std::vector<std::uint32_t> second;       // optional
  std::optional<Ragged<char>> input_text;  // optional
  std::vector<std::uint32_t> label;        // classification
  std::vector<std::uint8_t> labels;        // multilabel: [samples, width]
  std::vector<float> value;                // regression: [samples, width]
  std::uint64_t width = 1;
  std::vector<std::uint16_t> tags;          // tagging: one per input token
  Ragged<std::uint32_t> target;             // translation
  std::optional<Ragged<char>> target_text;  // optional: translation, tagging

  std::uint64_t samples() const { return input.size(); }
};

// Writes the file beside, syncs and renames it. The same content gives the same bytes. Throws Error(cannot_write).
void write_shard(const std::filesystem::path& file, const ShardContent& content);

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

}  // namespace polyhead
