// Messages for the user at the terminal.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <utility>

namespace polyhead {

// Prints to standard error. Unlike fmt::print it does not throw if that fails, so a closed terminal or pipe does not
// end the program.
template <class... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  std::fputs(fmt::format(format, std::forward<Args>(args)...).c_str(), stderr);
}

}  // namespace polyhead
