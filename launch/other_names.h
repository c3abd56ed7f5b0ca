// Options by the names that users of other training systems type.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "launch/options.h"

namespace polyhead {

// " (did you mean --optimizer.lr?)" for a name that other systems have ("lr"; '-' and '_' are alike), with a word on
// what differs; "" for other names, and where `table` has no such option.
std::string hint_of_other_name(std::string_view name, std::span<const Option> table);

}  // namespace polyhead
