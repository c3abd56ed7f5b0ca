// Writes an HDF5 shard of the dataset format (docs/format.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/kind.h"

namespace polyhead {

// Concatenated sequences; sequence i is values[offsets[i]:offsets[i+1]].
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

// The content of a shard. An optional part is written if it exists and has as many entries as there are samples.
struct ShardContent {
  std::string task, split;
  Kind kind = Kind::classification;
  std::uint64_t vocab_size = 0;            // tokens are u16 up to 65536, otherwise u32
  Ragged<std::uint32_t> input;             // only the offsets if there are features
  std::vector<float> features;             // instead of input.values: [total, feature_width]
  std::uint64_t feature_width = 0;         // 0: the input is tokens
  std::vector<std::uint32_t> second;       // optional
  std::vector<float> weight;               // optional, of samples
  std::optional<Ragged<char>> input_text;  // optional
  std::vector<std::uint32_t> label;        // classification
  std::vector<std::uint8_t> labels;        // multilabel: [samples, width]
  std::vector<float> value;                // regression: [samples, width]
  std::uint64_t width = 1;
  std::vector<std::uint16_t> tags;          // tagging: one per input token
  Ragged<std::uint32_t> target;             // translation
  std::vector<std::uint32_t> span;          // span: [samples, 2], first and last token of the answer; 0, 0: cut off
  std::vector<std::uint32_t> characters;    // optional, span: [input tokens, 2], begin and end in the context
  std::optional<Ragged<char>> target_text;  // optional: translation, tagging, span

  std::uint64_t samples() const { return input.size(); }
};

// The layout of datasets: contiguous and unfiltered, so that readers can map them, or chunked with HDF5's built-in
// filters.
struct ShardStorage {
  bool chunked = false;
  int deflate = 0;  // 1 to 9; 0: no compression
  bool shuffle = false, fletcher32 = false;
};

// Writes the file atomically. The same content gives the same bytes. Throws Error(cannot_write).
void write_shard(const std::filesystem::path& file, const ShardContent& content, const ShardStorage& storage = {});

}  // namespace polyhead
