// Detects files with one word per line, as in CoNLL-2003.
#pragma once

#include <string_view>
#include <vector>

#include "datasets/reading/sample_source.h"

namespace polyhead {

// Returns the columns of a line: separated by tabs if it has any, otherwise by runs of spaces.
std::vector<std::string_view> conll_columns(std::string_view line);

// Whether a table for tagging has one word per line rather than one sentence per line: no field contains a space, and
// there are blank lines between other lines. Reads the first thousand lines of the file.
bool has_a_word_a_line(const SampleFile& file);

}  // namespace polyhead
