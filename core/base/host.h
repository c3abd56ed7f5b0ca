// The machine that this process runs on.
#pragma once

#include <unistd.h>

#include <string>

namespace polyhead {

// Returns the name of this machine; "?" if the system does not report it.
inline std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "?";
}

}  // namespace polyhead
