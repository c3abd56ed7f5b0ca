// An HDF5 shard of the dataset format (docs/format.md), checked against every rule of the format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "datasets/column.h"
#include "datasets/manifest.h"

namespace polyhead {

inline constexpr std::uint16_t kNotScored = 65535;            // in /target/tags
inline constexpr std::uint64_t kIntegrityBlock = 1ULL << 20;  // bytes

// What the manifest says about a shard.
struct ShardExpectation {
  std::string task, split;
  Kind kind = Kind::classification;
  std::uint64_t vocab_size = 0;
  std::uint64_t classes = 0;  // number of labels
  std::uint64_t outputs = 1;  // regression: number of values
  bool weights = false;       // whether the shard has weights of samples
  ShardInfo info;             // samples, and bytes and sha256 if given
};

ShardExpectation shard_expectation(const Manifest& manifest, const TaskInfo& task, const std::string& split,
                                   const ShardInfo& info);

class ShardReader;

// An open shard.
// - The constructor checks its metadata against the format and the manifest, and with Verify::open all of its data.
//   Otherwise a block of a column is checked when it is first read. Both throw Error(data), which names file and place.
// - Columns that the kind or the file does not have are not present().
// - Reading is thread-safe.
class Shard {
 public:
  Shard(const std::filesystem::path& file, const ShardExpectation& expected, const ReadOptions& options = {});
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  std::uint64_t samples() const { return samples_; }
  const std::filesystem::path& path() const { return file_.path(); }
  std::uint64_t feature_width() const { return feature_width_; }  // k of /input/features; 0: the inputs are tokens

  std::uint64_t input_rows() const { return input_rows_; }  // tokens, or rows of features, of all samples

  // Returns the elements of a sample among `rows`. It always checks that they are in range.
  Extent range(const Column& offsets, std::uint64_t rows, std::uint64_t sample, ReadBuffer& buffer) const;
  // Returns the range of a sample's input: tokens, or rows of features.
  Extent input_range(std::uint64_t sample, ReadBuffer& buffer) const {
    return filled(input_offsets, input_rows_, sample, buffer);
  }
  Extent target_range(std::uint64_t sample, ReadBuffer& buffer) const {
    return filled(target_offsets, target.size(), sample, buffer);
  }

  // span: returns the first and last token of a sample's answer, in an input of `length` tokens; 0, 0: it was cut off.
  Extent span_of(std::uint64_t sample, std::uint64_t length, ReadBuffer& buffer) const;
  // Returns a text of a sample, from its column and offsets; none if the shard does not keep it.
  std::optional<std::string> text(const Column& texts, const Column& offsets, std::uint64_t sample,
                                  ReadBuffer& buffer) const;
  // span: returns the part of a sample's input text that these tokens cover, as rows of `characters`; none if the shard
  // does not keep it. Throws Error(data) if it reaches beyond the text.
  std::optional<std::string> text_of(std::uint64_t sample, const Extent& tokens, ReadBuffer& buffer) const;
  // Returns the index where the second text of a sample begins, in an input of `length` tokens; 0: there is none.
  std::uint64_t second_of(std::uint64_t sample, std::uint64_t length, ReadBuffer& buffer) const;

 private:
  void open_columns(const ShardReader& in, const ShardExpectation& expected);
  void check_everything() const;
  Extent filled(const Column& offsets, std::uint64_t rows, std::uint64_t sample, ReadBuffer& buffer) const;

  PooledFile file_;  // read by the columns
  std::uint64_t samples_ = 0, feature_width_ = 0, input_rows_ = 0;

 public:
  Column input, features, input_offsets, second, weight, input_text, input_text_offsets;
  Column label, labels, value, tags, target, target_offsets, target_text, target_text_offsets, span, characters;
};

// Checks a whole shard: its SHA-256 and size if given, every checksum and every rule of the format, including those
// between datasets. Throws Error(data), which names the file and the place of the first fault.
void check_shard(const std::filesystem::path& file, const ShardExpectation& expected);

}  // namespace polyhead
