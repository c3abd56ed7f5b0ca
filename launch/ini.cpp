// Reads INI files line by line.
#include "launch/ini.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/text.h"

namespace polyhead {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

std::string_view without_comment(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i)
    if ((line[i] == '#' || line[i] == ';') && (i == 0 || is_space(line[i - 1]))) return line.substr(0, i);
  return line;
}

[[noreturn]] void fail(const std::filesystem::path& file, int line, const std::string& what) {
  throw Error(Exit::config, fmt::format("{}:{}: {}", file.string(), line, what));
}

// Returns the quoted value at the start of `text`; nullopt if there is none. A comment may follow it.
std::optional<std::string> quoted_value(std::string_view text, const std::filesystem::path& file, int line) {
  if (text.empty() || (text.front() != '"' && text.front() != '\'')) return std::nullopt;
  const char quote = text.front();
  std::string value;
  std::size_t at = 1;
  while (true) {
    const std::size_t end = text.find(quote, at);
    if (end == std::string_view::npos) {
      if (quote == '\'') return std::nullopt;  // an apostrophe
      fail(file, line,
           fmt::format("the quote in {} is not closed; write \"value\", with \"\" for a quote in it", text));
    }
    value += text.substr(at, end - at);
    at = end + 1;
    if (at == text.size() || text[at] != quote) break;
    value += quote;
    ++at;
  }
  const std::string_view rest = text.substr(at);
  if (!trim(without_comment(rest)).empty()) {
    if (quote == '\'') return std::nullopt;  // a quoted word among others
    fail(file, line, fmt::format("text follows the closing quote in {}; put the whole value in quotes", text));
  }
  return value;
}

}  // namespace

IniFile parse_ini(std::string_view text, const std::filesystem::path& file) {
  IniFile ini{.file = file, .sections = {}, .entries = {}};
  std::map<std::pair<std::string, std::string>, int> first_line;
  std::string section;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view uncut = text.substr(0, end), line = trim(without_comment(uncut));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    if (line.front() == '[') {
      if (line.back() != ']')
        fail(file, number, fmt::format("'{}' opens a section without closing it; write [name]", line));
      section = trim(line.substr(1, line.size() - 2));
      if (section.empty()) fail(file, number, "'[]' is a section without a name; write [name]");
      if (std::ranges::none_of(ini.sections, [&](const IniSection& s) { return s.name == section; }))
        ini.sections.push_back({section, number});
      continue;
    }
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos)
      fail(file, number, fmt::format("'{}' is neither a [section] nor 'key = value'; a comment begins with '#'", line));
    const std::string key(trim(line.substr(0, equals)));
    if (key.empty()) fail(file, number, fmt::format("'{}' has no key before '='; write 'key = value'", line));
    if (section.empty()) fail(file, number, fmt::format("'{}' is before the first [section]; move it below one", key));
    const auto [known, fresh] = first_line.try_emplace({section, key}, number);
    if (!fresh)
      fail(file, number,
           fmt::format("'{}' of [{}] is given twice, first in line {}; keep one of them", key, section, known->second));
    const std::string_view whole = trim(uncut.substr(uncut.find('=') + 1));
    if (const auto quoted = quoted_value(whole, file, number)) {
      ini.entries.push_back({section, key, *quoted, number});
    } else {
      const std::string value(trim(line.substr(equals + 1)));
      ini.entries.push_back({section, key, value, number, whole == value ? "" : std::string(whole)});
    }
  }
  return ini;
}

std::string ini_value(const std::string& value, const std::string& what) {
  if (value.find('\n') != std::string::npos)
    throw Error(Exit::config,
                fmt::format("{}: the value '{}' holds a line break, which an INI file cannot hold; choose "
                            "another",
                            what, value));
  const auto is_read_back = [&](const std::string& written) {
    try {
      return parse_ini("[x]\nx = " + written, "").entries.at(0).value == value;
    } catch (const Error&) {
      return false;
    }
  };
  if (is_read_back(value)) return value;
  std::string quoted = "\"";
  for (const char c : value) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

IniFile read_ini(const std::filesystem::path& file) {
  std::error_code code;
  if (!std::filesystem::is_regular_file(file, code))
    throw Error(Exit::config,
                fmt::format("cannot read the INI file {}: {}; check the path", file.string(),
                            std::filesystem::exists(file, code) ? "it is not a file" : "there is no such file"));
  std::string text;
  try {
    text = read_file(file);
  } catch (const Error& error) {
    throw Error(Exit::config, fmt::format("cannot read the INI file {}: {}", file.string(), error.what()));
  }
  return parse_ini(text, file);
}

}  // namespace polyhead
