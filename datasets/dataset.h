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

  std::uint64_t size() const;                               // samples
  std::uint64_t feature_width() const;                      // of sequences of vectors; 0: tokens
  std::uint64_t input_length(std::uint64_t sample) const;   // tokens, or rows of features
  std::uint64_t target_length(std::uint64_t sample) const;  // translation: tokens of the target, else 0

  // Reading random samples waits for memory: ask for where a sample lies some samples ahead of use, and a few samples
  // later, when that has arrived, for what lies there.
  void prefetch_place(std::uint64_t sample) const;
  void prefetch(std::uint64_t sample) const;

  // Each appends the sample's values to `out`.
  void input_tokens(std::uint64_t sample, std::vector<std::int64_t>& out) const;
  void features(std::uint64_t sample, std::vector<float>& out) const;              // [rows, feature_width]
  void target_tokens(std::uint64_t sample, std::vector<std::int64_t>& out) const;  // translation
  void tags(std::uint64_t sample, std::vector<std::int64_t>& out) const;           // tagging; kIgnore where not scored
  std::int64_t label(std::uint64_t sample) const;                                  // classification
  void labels(std::uint64_t sample, std::vector<std::int64_t>& out) const;         // multilabel: [classes], 0 or 1
  void values(std::uint64_t sample, std::vector<double>& out) const;               // regression: [outputs]
  std::uint64_t second(std::uint64_t sample) const;  // where in the input its second text begins, 0: it has none
  // The original texts, where the shard holds them.
  std::optional<std::string> input_text(std::uint64_t sample) const;
  std::optional<std::string> target_text(std::uint64_t sample) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace polyhead
