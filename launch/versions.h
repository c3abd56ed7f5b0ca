// What the program was built with, for --version.
#pragma once

#include <string>

namespace polyhead {

// A line for each library with its versions, as doctor has them.
std::string library_versions();

}  // namespace polyhead
