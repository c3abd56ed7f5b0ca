// Import's second reading: one split of one task to shards.
#pragma once

#include <filesystem>

#include "datasets/import_plan.h"
#include "datasets/manifest.h"
#include "datasets/tokenizer.h"
#include "datasets/unknown_tokens.h"

namespace polyhead {

// What is counted over a task's splits, for warnings.
struct TaskCensus {
  std::uint64_t samples = 0, cut = 0;  // all, and those of which the input or the target is longer than max_length
  std::string first_cut;               // where, "FILE line 3"
  UnknownTokens unknown;
  std::uint64_t targets = 0,
                altered = 0;  // translation: texts of targets, and those that their tokens do not give back
  std::string first_altered;  // where, "FILE line 3"
};

// Writes the shards of `file` into folder/TASK, numbered from `first` on, and says what they hold. Throws Error(data),
// Error(cannot_write).
SplitInfo write_split(const ImportOptions& options, const std::filesystem::path& folder, const ImportPlan& plan,
                      const SampleFile& file, const Tokenizer& tokenizer, const TokenizerInfo& info, std::size_t first,
                      unsigned threads, TaskCensus& census, const Progress& progress);

}  // namespace polyhead
