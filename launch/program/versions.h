// The versions of the libraries, for --version.
#pragma once

#include <string>

namespace polyhead {

// Returns one line per library with its versions, as in doctor.
std::string library_versions();

}  // namespace polyhead
