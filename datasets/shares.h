// Valid and test as shares of the train files (valid_share, test_share).
#pragma once

#include <string_view>

#include "datasets/samples.h"

namespace polyhead {

// The split that a sample of the train files belongs to, "train", "valid" or "test": by the xxh3-64 of its text, or of
// its group where the description names one, as a number u from 0 to 1. Below valid_share it is valid, from
// 1 - test_share on test. So equal texts are always in the same split, of every task and of every import, and a larger
// share keeps the samples of a smaller one. The second text and the label do not count.
std::string_view split_by_share(const ReadingOptions& options, const Sample& sample);

}  // namespace polyhead
