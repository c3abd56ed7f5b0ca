// Lines for the person at the terminal.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <utility>

namespace polyhead {

// Prints to standard error. Unlike fmt::print it does not throw where that cannot be written: a terminal that is
// closed, or a reader that is gone, ends nothing.
template <class... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  std::fputs(fmt::format(format, std::forward<Args>(args)...).c_str(), stderr);
}

}  // namespace polyhead
