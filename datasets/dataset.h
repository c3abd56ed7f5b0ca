// A data set as training reads it: samples by index, over the shards of a task's split.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "datasets/column.h"
#include "datasets/manifest.h"

namespace polyhead {

class Shard;

// One sample of a split, by where it lies; valid while its reader lives. What reads a column throws Error(data) where a
// block of it is damaged.
class StoredSample {
 public:
  StoredSample(const Shard& shard, std::uint64_t row, std::uint64_t index);

  std::uint64_t index() const { return index_; }                  // in the split
  std::uint64_t input_length() const { return input_.size(); }    // tokens, or rows of features
  std::uint64_t feature_width() const;                            // of a sequence of vectors; 0: tokens
  std::uint64_t target_length() const { return target_.size(); }  // translation: tokens of the target, else 0
  std::uint64_t second() const;  // where in the input its second text begins, 0: it has none
  // Reading random samples waits for memory: ask for what lies here some samples ahead of use.
  void prefetch() const;

  // Each appends the sample's values to `out`.
  void input_tokens(std::vector<std::int64_t>& out) const;
  void features(std::vector<float>& out) const;              // [rows, feature_width]
  void target_tokens(std::vector<std::int64_t>& out) const;  // translation
  void tags(std::vector<std::int64_t>& out) const;           // tagging; kIgnore where not scored
  std::int64_t label() const;                                // classification
  void labels(std::vector<std::int64_t>& out) const;         // multilabel: [classes], 0 or 1
  void values(std::vector<double>& out) const;               // regression: [outputs]
  // The original texts, where the shard holds them.
  std::optional<std::string> input_text() const;
  std::optional<std::string> target_text() const;

 private:
  const Shard* shard_;
  std::uint64_t row_, index_;  // in the shard, in the split
  Extent input_, target_;
};

// One split of one task. Samples are numbered over the shards in the manifest's order. Opening checks every shard's
// metadata against the format (attributes, types, extents, layouts, links and filters); what the rows hold is checked
// when a block is first touched, or at opening (ReadOptions). Both throw Error(data) naming file and place. Readers are
// thread-safe.
class SplitReader {
 public:
  SplitReader(const std::filesystem::path& folder, const Manifest& manifest, const TaskInfo& task,
              const std::string& split, const ReadOptions& options = {});
  ~SplitReader();
  SplitReader(const SplitReader&) = delete;
  SplitReader& operator=(const SplitReader&) = delete;

  std::uint64_t size() const;           // samples
  std::uint64_t feature_width() const;  // of sequences of vectors; 0: tokens
  bool pairs() const;                   // whether any sample has a second text; reads all that say so
  StoredSample sample(std::uint64_t index) const;
  // Asks memory for what sample() reads, some samples ahead of it.
  void prefetch_place(std::uint64_t index) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace polyhead
