// Names that people choose (of tasks, of folders) as parts of file names and of JSON.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// The name as part of a file's name, at most 190 bytes: usual names are kept as they are; '/' and control characters
// become %XX, as does a '%' that could be taken for one of these; the end of a long name becomes its hash. Different
// names give different results.
std::string file_stem(std::string_view name);

// Parts of a text that was cut at its commas, where neighbours that together are one of the `known` names, which may
// hold commas, are joined again: {"a", "b", "c"} with "a, b" and "c" known is {"a, b", "c"}.
std::vector<std::string> join_known_names(const std::vector<std::string>& parts, const std::vector<std::string>& known);

// Whether the bytes are UTF-8, as JSON needs them. Paths may be anything but zero bytes.
bool is_utf8(std::string_view bytes);

}  // namespace polyhead
