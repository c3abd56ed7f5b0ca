// Reads and checks the metadata of a shard through HDF5, and finds the places of its columns.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "datasets/column.h"

namespace polyhead {

enum class ColumnType { u8, u16, u32, u64, f32 };

// Returns HDF5's little-endian type.
std::int64_t hdf5_type(ColumnType type);

// All functions throw Error(data), which names the file, for any difference from docs/format.md.
class ShardReader {
 public:
  static constexpr std::uint64_t kAnyWidth = ~0ULL;

  // file: an open HDF5 file, in an hdf5::Session that outlives the reader.
  ShardReader(PooledFile& pooled, std::int64_t file, const ReadOptions& options)
      : pooled_(pooled), file_(file), options_(options) {}

  [[noreturn]] void fail(const std::string& what) const { fail_shard(pooled_.path(), what); }
  std::string text_attribute(const char* name) const;
  std::uint64_t number_attribute(const char* name) const;

  // Whether "group/name" exists. All links in the path must be hard links.
  bool has(const std::string& path) const;
  // Returns a dataset of one of the types. width: 0: one dimension; otherwise [any, width]; kAnyWidth: [any, any].
  Column column(const std::string& path, std::initializer_list<ColumnType> types, Rule rule,
                std::uint64_t width = 0) const;
  // The same, or a column that is not present().
  Column optional(const std::string& path, std::initializer_list<ColumnType> types, Rule rule,
                  std::uint64_t width = 0) const;
  // Opens group/text and its offsets, if they exist.
  void texts(const std::string& group, std::uint64_t samples, Column& text, Column& offsets) const;

  // Checks the number of offsets, [samples + 1]. Their first and last value are checked with the first and last block.
  void check_count(const Column& offsets, std::uint64_t samples) const;
  // Checks the number of elements. what: what they are, for the message.
  void check_rows(const Column& column, std::uint64_t expected, const char* what) const;

 private:
  Column column_here(const std::string& path, std::initializer_list<ColumnType> types, Rule rule,
                     std::uint64_t width) const;
  void check_storage(const std::string& path, std::int64_t create) const;
  // Finds the bytes of a dataset.
  void locate(std::int64_t set, std::int64_t create, std::uint64_t bytes, int rank, ColumnSource& source) const;
  // Returns the checksums of a dataset, which are computed over little-endian bytes; empty if there are none or they
  // are not used.
  std::vector<std::uint64_t> integrity(const std::string& path, std::uint64_t bytes) const;

  PooledFile& pooled_;
  std::int64_t file_;
  const ReadOptions& options_;
};

}  // namespace polyhead
