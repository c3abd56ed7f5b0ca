// Suggests options for names that users of other training systems type.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "launch/options.h"

namespace polyhead {

// Returns " (did you mean --optimizer.lr?)" for a name in other systems ("lr"; '-' and '_' are equivalent), with a note
// about differences. Returns "" for other names, and if `table` does not have the option.
std::string hint_of_other_name(std::string_view name, std::span<const Option> table);

}  // namespace polyhead
