// Which heads there are.
#pragma once

#include <string>
#include <vector>

#include "core/base/kind.h"

namespace polyhead {

// The names of a kind's heads; its own, which has the kind's name, comes first.
std::vector<std::string> heads_of(Kind kind);

}  // namespace polyhead
