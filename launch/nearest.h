// The name that a person probably meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// The candidate that `name` is a prefix of, or else the one at the smallest edit distance (Levenshtein), where that is
// at most a third of the name's length and at least 2; "" when there is none.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

// " (did you mean NAME?)" or "".
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace polyhead
