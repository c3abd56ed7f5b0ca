// Writes the datasets of a shard, each with its checksums.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "datasets/shard_reader.h"
#include "datasets/shard_writer.h"

namespace polyhead {

// The stored type of C++ values.
template <class T>
inline constexpr ColumnType kColumnType = ColumnType::u8;
template <>
inline constexpr ColumnType kColumnType<std::uint16_t> = ColumnType::u16;
template <>
inline constexpr ColumnType kColumnType<std::uint32_t> = ColumnType::u32;
template <>
inline constexpr ColumnType kColumnType<std::uint64_t> = ColumnType::u64;
template <>
inline constexpr ColumnType kColumnType<float> = ColumnType::f32;

// All functions throw Error(data) with HDF5's reason.
class ColumnWriter {
 public:
  // file: an open HDF5 file, in an hdf5::Session that outlives the writer.
  ColumnWriter(std::int64_t file, const ShardStorage& storage) : file_(file), storage_(storage) {}

  void group(const char* name) const;
  // Writes the dataset "group/name": [rows], or [rows, width] if width is not 0.
  template <class T>
  void dataset(const std::string& path, const std::vector<T>& values, std::uint64_t width = 0) const {
    put_checked(path, kColumnType<T>, values.data(), values.size() / std::max<std::uint64_t>(width, 1), width);
  }
  // Writes group/tokens, as u16 if the vocabulary allows it, and group/offsets.
  void ragged_tokens(const std::string& group, const Ragged<std::uint32_t>& tokens, std::uint64_t vocab_size) const;
  // Writes group/text and group/text_offsets.
  void texts(const std::string& group, const Ragged<char>& text) const;

 private:
  void put_checked(const std::string& path, ColumnType type, const void* data, std::uint64_t rows,
                   std::uint64_t width) const;
  void put(const std::string& path, ColumnType type, const void* data, std::uint64_t rows, std::uint64_t width,
           bool chunked) const;

  std::int64_t file_;
  const ShardStorage& storage_;
};

}  // namespace polyhead
