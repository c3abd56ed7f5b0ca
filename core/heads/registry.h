// The registered heads.
#pragma once

#include <string>
#include <vector>

#include "core/base/kind.h"

namespace polyhead {

// Returns the names of the heads for a kind. The default head, which has the kind's name, comes first.
std::vector<std::string> heads_of(Kind kind);

}  // namespace polyhead
