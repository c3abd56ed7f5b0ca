// Words with a tag each.
#pragma once

#include <cstdint>

#include "datasets/samples.h"

namespace polyhead {

// Checks that there are as many words as tags, none of them empty or with white space, converts the tags as the file's
// `bio` asks, and fills `text`. Throws Error(data).
void check_words(const SampleFile& file, std::uint64_t line, Sample& sample);

}  // namespace polyhead
