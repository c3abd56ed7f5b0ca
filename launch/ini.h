// Reads INI files.
// - A file has sections, which may be empty, and `key = value` lines. Every entry knows its line.
// - Comments begin with '#' or ';' at the start of a line or after white space. Elsewhere in values both characters are
//   allowed.
// - A value in quotes, "…" or '…', may hold anything; its own quote character is doubled.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

struct IniEntry {
  std::string section, key, value;
  int line = 0;
  std::string whole = {};  // the value with the comment that cuts it; "" if no comment follows the value
};

struct IniSection {
  std::string name;
  int line = 0;
};

struct IniFile {
  std::filesystem::path file;
  std::vector<IniSection> sections;  // in the order of the file, each name once
  std::vector<IniEntry> entries;     // in the order of the file
};

// Throws Error(config) with "FILE:LINE: …" for a line outside of sections, a missing '=', a duplicate key, and a quote
// that is not closed.
IniFile parse_ini(std::string_view text, const std::filesystem::path& file);
// The same for a file. Also throws Error(config) if it cannot be read.
IniFile read_ini(const std::filesystem::path& file);

// Returns the value in a form that parse_ini() reads back, in quotes if necessary. Throws Error(config) for a value
// with a line break, which is not possible; `what` begins the message.
std::string ini_value(const std::string& value, const std::string& what);

}  // namespace polyhead
