// A data set as training reads it: samples by index, over the shards of a task's split.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/kinds/samples.h"
#include "datasets/column.h"
#include "datasets/manifest.h"

namespace polyhead {

class Shard;

// A sample of a split; it must not outlive its reader. All functions that read a column throw Error(data) if a block of
// it is damaged.
class StoredSample final : public SampleFields {
 public:
  StoredSample(const Shard& shard, std::uint64_t row, std::uint64_t index);

  std::uint64_t index() const override { return index_; }         // in the split
  std::uint64_t input_length() const { return input_.size(); }    // tokens, or rows of features
  std::uint64_t feature_width() const;                            // for inputs of vectors; 0: tokens
  std::uint64_t target_length() const { return target_.size(); }  // translation: number of target tokens; otherwise 0
  std::uint64_t second() const;  // index in the input where the second text begins; 0: there is none
  // Returns the weight of the sample's loss; none if the split has no weights.
  std::optional<float> weight() const;
  // Starts loading this sample into the CPU's caches. Call it a few samples ahead of use, because reading random
  // samples waits for memory.
  void prefetch() const;

  // Append the sample's values to `out`.
  void input_tokens(std::vector<std::int64_t>& out) const override;
  void features(std::vector<float>& out) const;                       // [rows, feature_width]
  void target_tokens(std::vector<std::int64_t>& out) const override;  // translation
  void tags(std::vector<std::int64_t>& out) const override;           // tagging; kIgnore where not scored
  std::int64_t label() const override;                                // classification
  void labels(std::vector<std::int64_t>& out) const override;         // multilabel: [classes], 0 or 1
  void values(std::vector<double>& out) const override;               // regression: [outputs]
  // span: returns the first and last token of the answer in the input; 0, 0: it was cut off.
  std::pair<std::uint64_t, std::uint64_t> span() const;
  // span: returns the original text of the tokens [first, last] of the input, if the shard keeps it.
  std::optional<std::string> text_of(std::uint64_t first, std::uint64_t last) const override;
  // Return the original texts, if the shard has them.
  std::optional<std::string> input_text() const override;
  std::optional<std::string> target_text() const override;

 private:
  const Shard* shard_;
  std::uint64_t row_, index_;  // in the shard, in the split
  Extent input_, target_;
};

// One split of one task. Samples are numbered over the shards in the manifest's order.
// - Opening checks the metadata of every shard against the format (attributes, types, extents, layouts, links and
//   filters). The rows are checked when a block is first read, or at opening (see ReadOptions).
// - Both throw Error(data), which names file and place.
// - Readers are thread-safe.
class SplitReader {
 public:
  SplitReader(const std::filesystem::path& folder, const Manifest& manifest, const TaskInfo& task,
              const std::string& split, const ReadOptions& options = {});
  ~SplitReader();
  SplitReader(const SplitReader&) = delete;
  SplitReader& operator=(const SplitReader&) = delete;

  std::uint64_t size() const;           // samples
  std::uint64_t feature_width() const;  // for inputs of vectors; 0: tokens
  bool pairs() const;                   // whether any sample has a second text; reads all data that say so
  StoredSample sample(std::uint64_t index) const;
  // Starts loading what sample() reads. Call it a few samples ahead.
  void prefetch_place(std::uint64_t index) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace polyhead
