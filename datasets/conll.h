// Words a line, as in CoNLL-2003: what tells such a file from a table.
#pragma once

#include <string_view>
#include <vector>

#include "datasets/samples.h"

namespace polyhead {

// A line's columns: between tabs where it has any, else between runs of spaces.
std::vector<std::string_view> conll_columns(std::string_view line);

// Whether a table of tagging is one word a line rather than one sentence a line: no field holds a space, and blank
// lines stand between other lines. Looks at the file's first thousand lines.
bool has_a_word_a_line(const SampleFile& file);

}  // namespace polyhead
