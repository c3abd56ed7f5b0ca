// The commands need only Python's standard library, jq or the archiver.
#include "launch/foreign_input.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "core/base/shell.h"

namespace polyhead {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kCompressed = {
    {{"\x1f\x8b", "zcat"}, {"BZh", "bzcat"}, {"\x28\xb5\x2f\xfd", "zstdcat"}}};

std::string by_table(std::string_view reader) {
  return fmt::format("python3 -c \"import csv, json, sys; [print(json.dumps(row)) for row in {}]\"", reader);
}

constexpr std::string_view kWords =
    "python3 -c \"import json, re, sys; [print(json.dumps({'words': [line.split()[0] for line in "
    "block.splitlines()]})) for block in re.split(r'\\n\\s*\\n', sys.stdin.read().strip()) "
    "if not block.startswith('-DOCSTART-')]\"";
constexpr std::string_view kTexts =
    "python3 -c \"import json, sys; [print(json.dumps({'text': line.strip()})) for line in sys.stdin]\"";

}  // namespace

std::string foreign_input(std::string_view line, const std::string& name, InputKind kind) {
  const std::string file = name.empty() ? "FILE" : shell_quoted(name);
  for (const auto& [bytes, command] : kCompressed)
    if (line.starts_with(bytes))
      return fmt::format("it is compressed; decompress it on the way: {} {} | polyhead predict …", command, file);
  if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  const std::size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos || line[begin] == '{') return "";
  if (line.find('\0') != std::string_view::npos) return "it is a binary file; predict reads JSON Lines";
  std::string command;
  if (line[begin] == '[')
    command = "jq -c '.[]'";
  else if (kind == InputKind::vectors)
    return "it is not JSON; expected JSON Lines such as {\"features\": [[0.1, 0.2], …]}";
  else if (kind == InputKind::words)
    command = kWords;
  else if (line.find('\t') != std::string_view::npos)
    command = by_table("csv.DictReader(sys.stdin, delimiter='\\t', quoting=csv.QUOTE_NONE)");
  else if (name.ends_with(".csv"))
    command = by_table("csv.DictReader(sys.stdin)");
  else
    command = kTexts;
  return fmt::format(
      "it is not JSON, and predict reads JSON Lines; convert it on the way: {} < {} | polyhead predict …", command,
      file);
}

}  // namespace polyhead
