// Import's second reading: one split of one task to shards.
#pragma once

#include <filesystem>

#include "datasets/import_plan.h"
#include "datasets/manifest.h"
#include "datasets/tokenizer.h"

namespace polyhead {

// Writes the shards of `file` into folder/TASK, numbered from `first` on, and says what they hold. Throws Error(data),
// Error(cannot_write).
SplitInfo write_split(const ImportOptions& options, const std::filesystem::path& folder, const ImportPlan& plan,
                      const SampleFile& file, const Tokenizer& tokenizer, const TokenizerInfo& info, std::size_t first,
                      unsigned threads, const Progress& progress);

}  // namespace polyhead
