// Uses shares of the train files as valid and test splits (valid_share, test_share).
#pragma once

#include <string_view>

#include "datasets/reading/sample_source.h"

namespace polyhead {

// Returns the split of a sample of the train files: "train", "valid" or "test".
// - The xxh3-64 of its text (or of its group, if the description names one) is scaled to a number u in [0, 1). u <
//   valid_share is valid, u >= 1 - test_share is test. The second text and the label do not matter.
// - So equal texts are in the same split in every task and every import, and a larger share contains the samples of a
//   smaller one.
std::string_view split_by_share(const ReadingOptions& options, const Sample& sample);

}  // namespace polyhead
