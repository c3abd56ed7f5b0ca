// A line reader for INI files: sections, `key = value`, comments that begin with '#' or ';' at a line's start or after
// white space. Values may hold '#' and ';' elsewhere; a value in quotes, "…" or '…', holds anything, with its own quote
// doubled. Sections may be empty. Every entry knows its line.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

struct IniEntry {
  std::string section, key, value;
  int line = 0;
  std::string whole = {};  // the value and the comment that cuts it; "" without a comment behind the value
};

struct IniSection {
  std::string name;
  int line = 0;
};

struct IniFile {
  std::filesystem::path file;
  std::vector<IniSection> sections;  // in the file's order, each name once
  std::vector<IniEntry> entries;     // in the file's order
};

// Throws Error(config) with "FILE:LINE: …": no section, no '=', a key given twice, a quote
// that is not closed.
IniFile parse_ini(std::string_view text, const std::filesystem::path& file);
// As above; throws Error(config) as well when the file cannot be read.
IniFile read_ini(const std::filesystem::path& file);

// The value as parse_ini reads it back: in quotes where it needs them. Throws Error(config) for a value with a line
// break, which no line can hold; `what` begins the message.
std::string ini_value(const std::string& value, const std::string& what);

// Without the white space around it.
std::string_view trim(std::string_view text);

}  // namespace polyhead
