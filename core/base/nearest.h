// Suggests the name that a user probably meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// Returns the candidate that begins with `name`. If there is none, returns the one with the smallest edit distance
// (Levenshtein), if that is at most 2, or at most a third of the name's length. Returns "" if no candidate is near
// enough.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

// Returns " (did you mean NAME?)", or "".
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace polyhead
