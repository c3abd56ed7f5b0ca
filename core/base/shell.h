// Words for commands of the shell, in messages.
#pragma once

#include <string>

namespace polyhead {

// Returns a word in single quotes, which a shell reads as it is.
inline std::string shell_quoted(const std::string& word) {
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

}  // namespace polyhead
