// The second reading of an import: it writes one split of one task as shards.
#pragma once

#include <filesystem>
#include <map>

#include "datasets/import/import_plan.h"
#include "datasets/import/unknown_tokens.h"
#include "datasets/manifest.h"
#include "datasets/tokenizer/tokenizer.h"

namespace polyhead {

// Counts over all splits of a task, for warnings.
struct TaskCensus {
  std::uint64_t samples = 0, cut = 0;  // all samples, and those with an input or target that is longer than max_length
  std::string first_cut;               // place of the first of these, "FILE line 3"
  UnknownTokens unknown;
  struct Remark {
    std::uint64_t samples = 0;
    std::string first;  // place of the first of these
  };
  std::map<std::size_t, Remark> remarks;  // see Target::remark()
  std::uint64_t targets = 0,
                altered = 0;  // translation: all targets, and those that differ from the text of their tokens
  std::string first_altered;  // place of the first of these, "FILE line 3"
};

// Writes the shards of `file` to folder/TASK, numbered from `first`, and returns their description. Throws Error(data)
// and Error(cannot_write).
SplitInfo write_split(const ImportOptions& options, const std::filesystem::path& folder, const ImportPlan& plan,
                      const SampleFile& file, const Tokenizer& tokenizer, const TokenizerInfo& info, std::size_t first,
                      unsigned threads, TaskCensus& census, const Progress& progress);

}  // namespace polyhead
