// The versions of LibTorch.
#pragma once

#include "core/base/library.h"

namespace polyhead {

Library torch_library();

}  // namespace polyhead
