// Names that users choose (of tasks, of folders) as parts of file names and of JSON.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// Returns the name as part of a file name, at most 190 bytes long. Different names give different results.
// - Common names do not change.
// - '/' and control characters become %XX, and so does a '%' that could be taken for such a code.
// - The end of a long name is replaced by its hash.
std::string file_stem(std::string_view name);

// Joins the parts of a text that was split at its commas, where adjacent parts together are one of the `known` names,
// which may contain commas. With "a, b" and "c" known, {"a", "b", "c"} becomes {"a, b", "c"}.
std::vector<std::string> join_known_names(const std::vector<std::string>& parts, const std::vector<std::string>& known);

// Whether the bytes are UTF-8, as JSON requires. Paths may be any bytes except zero.
bool is_utf8(std::string_view bytes);

}  // namespace polyhead
