// A dataset of a shard, read in place. Each block is checked when it is first read.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/file_pool.h"

namespace polyhead {

enum class Access { automatic, map, pread };
enum class Verify { blocks, open, off };
constexpr std::array<std::string_view, 3> choices(Access) {
  return {"auto", "map", "pread"};
}
constexpr std::array<std::string_view, 3> choices(Verify) {
  return {"blocks", "open", "off"};
}

struct ReadOptions {
  // automatic: pread on network file systems, where a memory map could stall or end the process (SIGBUS); map
  // elsewhere.
  Access access = Access::automatic;
  // When checksums and content are checked. blocks: each block when it is first read. open: everything at opening, the
  // SHA-256 in the manifest included. off: no checksums, only the content.
  Verify verify = Verify::blocks;
  std::shared_ptr<FilePool> pool = FilePool::shared();
};

// The rule that every element of a column must follow.
struct Rule {
  enum class What {
    anything,
    token,  // an integer below `limit`
    label,  // the same, one per sample
    tag,    // below `limit`, or kNotScored
    zero_one,
    finite,
    weight,  // f32 that is_sample_weight()
    offset,  // u64 that never decreases, from 0 to `limit`
    filled,  // the same, strictly increasing
  };
  What what = What::anything;
  std::uint64_t limit = 0;
  std::uint64_t width = 1;  // elements per sample, for messages
};

// The smallest and largest weights of samples, apart from 0. Only their ratios count, and sums of weights in this range
// are exact enough on the grid of core/base/grid.h.
inline constexpr float kLeastSampleWeight = 1e-6F, kMostSampleWeight = 1e6F;
inline bool is_sample_weight(float value) {
  return value == 0 || (value >= kLeastSampleWeight && value <= kMostSampleWeight);
}

// Owns the memory that view() returns. Use one per thread; reuse saves allocations.
struct ReadBuffer {
  std::shared_ptr<const void> pin;
  std::vector<std::byte> bytes;
};

// Elements [first, last) of a column.
struct Extent {
  std::uint64_t first = 0, last = 0;
  std::uint64_t size() const { return last - first; }
};

// The place of a column's bytes.
struct ColumnSource {
  PooledFile* file = nullptr;
  std::string path;               // "input/tokens"
  std::uint64_t size = 0;         // number of elements
  unsigned element = 0;           // bytes per element
  std::uint64_t width = 0;        // columns of a two-dimensional dataset; 0: one dimension
  bool direct = true;             // contiguous and little endian: read at `offset`; otherwise read through HDF5
  std::uint64_t offset = 0;       // in the file, in bytes
  std::uint64_t chunk = 1;        // rows per chunk
  std::int64_t memory_type = -1;  // HDF5's type
};

class Column {
 public:
  Column() = default;  // a dataset that does not exist
  // hashes: those in /integrity, one per block; empty: none.
  Column(ColumnSource source, Rule rule, std::vector<std::uint64_t> hashes);
  Column(Column&&) = default;
  Column& operator=(Column&&) = default;
  ~Column();

  bool present() const { return source_.element > 0; }
  std::uint64_t size() const { return source_.size; }    // number of elements
  unsigned element() const { return source_.element; }   // bytes per element
  std::uint64_t width() const { return source_.width; }  // columns of a two-dimensional dataset
  const std::string& path() const { return source_.path; }

  // Returns elements [first, first + count), little endian and not aligned. count > 0, and all elements must exist. The
  // pointer is valid until `buffer` is used again. Throws Error(data), which names shard, dataset and block, when a
  // block is read for the first time and is damaged or breaks a rule.
  const std::byte* view(std::uint64_t first, std::uint64_t count, ReadBuffer& buffer) const {
    const std::uint64_t begin = first * source_.element, end = begin + count * source_.element;
    for (std::uint64_t block = begin / kBlock; block <= (end - 1) / kBlock; ++block)
      if (checked_[block].load(std::memory_order_relaxed) == 0) check_block(block);
    if (source_.direct)
      if (const std::byte* map = source_.file->resident_map()) return map + source_.offset + begin;
    return raw(first, count, buffer);
  }
  template <class T>
  T at(std::uint64_t i, ReadBuffer& buffer) const {
    return load<T>(view(i, 1, buffer), 0);
  }
  // Returns a token, stored as u16 or u32.
  std::uint32_t token(std::uint64_t i, ReadBuffer& buffer) const {
    return element() == 2 ? at<std::uint16_t>(i, buffer) : at<std::uint32_t>(i, buffer);
  }
  // Returns the address of element i, unchecked, for a prefetch instruction; null if it is not mapped.
  const std::byte* address(std::uint64_t i) const {
    if (!present() || !source_.direct) return nullptr;
    const std::byte* map = source_.file->resident_map();
    return map != nullptr ? map + source_.offset + i * source_.element : nullptr;
  }
  // Checks every block that has not been read yet, in order.
  void check_all() const;

  template <class T>
  static T load(const std::byte* data, std::uint64_t i) {
    T value;
    std::memcpy(&value, data + i * sizeof(T), sizeof(T));
    return value;
  }

 private:
  static constexpr std::uint64_t kBlock = 1ULL << 20;  // bytes, as in /integrity

  std::uint64_t blocks() const { return (source_.size * source_.element + kBlock - 1) / kBlock; }
  // The same as view(), without checks.
  const std::byte* raw(std::uint64_t first, std::uint64_t count, ReadBuffer& buffer) const;
  const std::byte* decoded(std::uint64_t first, std::uint64_t count, ReadBuffer& buffer) const;
  void check_block(std::uint64_t block) const;
  void check_rule(const std::byte* data, std::uint64_t first, std::uint64_t count, std::uint64_t block) const;

  ColumnSource source_;
  Rule rule_;
  std::vector<std::uint64_t> hashes_;
  std::unique_ptr<std::atomic<std::uint8_t>[]> checked_;  // [blocks]
  std::uint64_t rows_at_once_ = 1;                        // per decoded piece
  std::uint64_t id_ = 0;                                  // in the cache of decoded pieces; 0: not cached
};

// Throws Error(data) with "shard FILE: WHAT" and what to do.
[[noreturn]] void fail_shard(const std::filesystem::path& file, const std::string& what);

}  // namespace polyhead
