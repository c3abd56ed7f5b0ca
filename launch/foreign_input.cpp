// The commands need only Python's standard library, jq or the archiver.
#include "launch/foreign_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include "core/base/shell.h"
#include "datasets/reading/byte_stream.h"

namespace polyhead {
namespace {

// A row with more fields than the header ends the command, because a text with a comma that is not quoted would be cut.
std::string by_table(std::string_view format) {
  return fmt::format(
      "python3 -c \"import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(open(0, "
      "encoding='utf-8-sig', newline=''){}) if None not in row or sys.exit('too many fields: ' + str(row))]\"",
      format);
}

constexpr std::string_view kWords =
    "python3 -c \"import json, re, sys; [print(json.dumps({'words': [line.split()[0] for line in "
    "block.splitlines()]})) for block in re.split(r'\\n\\s*\\n', sys.stdin.read().strip()) "
    "if not block.startswith('-DOCSTART-')]\"";
constexpr std::string_view kTexts =
    "python3 -c \"import json, sys; [print(json.dumps({'text': line.strip()})) for line in sys.stdin]\"";

// Returns the command that converts a file; "" if it may be JSON Lines. line: its first one, not empty.
std::string conversion(std::string_view line, const std::string& extension, InputKind kind) {
  if (line.front() == '{') return "";
  if (line.front() == '[') return "jq -c '.[]'";
  if (kind == InputKind::words) return std::string(kWords);
  if (line.find('\t') != std::string_view::npos) return by_table(", delimiter='\\t', quoting=csv.QUOTE_NONE");
  if (extension != ".csv") return std::string(kTexts);
  return by_table(std::ranges::count(line, ';') > std::ranges::count(line, ',') ? ", delimiter=';'" : "");
}

// Returns the line without a byte order mark, and from its first character on.
std::string_view stripped(std::string_view line) {
  if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  return line.substr(std::min(line.find_first_not_of(" \t\r"), line.size()));
}

// Returns the first line of a compressed file; "" if it cannot be read.
std::string first_line(const std::string& name) {
  std::string text(1 << 16, '\0');
  try {
    ByteStream stream(name, name, false);
    text.resize(stream.read(text));
  } catch (const std::exception&) {  // the command will say why
    return "";
  }
  return text.substr(0, text.find('\n'));
}

std::string decompressed(std::string_view compression, const std::string& name, const std::string& extension,
                         InputKind kind) {
  const std::string line = name.empty() ? "" : first_line(name), file = name.empty() ? "FILE" : shell_quoted(name);
  const std::string_view content = stripped(line);
  const std::string convert = content.empty() || kind == InputKind::vectors ? "" : conversion(content, extension, kind);
  return fmt::format("it is compressed; decompress it on the way: {} {} | {}polyhead predict …",
                     compression == "gzip" ? "zcat" : (compression == "bzip2" ? "bzcat" : "zstdcat"), file,
                     convert.empty() ? "" : convert + " | ");
}

}  // namespace

std::string foreign_input(std::string_view line, const std::string& name, InputKind kind) {
  const std::string extension = uncompressed_name(name).extension().string();
  if (const std::string_view compression = compression_of(line); !compression.empty())
    return decompressed(compression, name, extension, kind);
  const std::string_view content = stripped(line);
  if (content.empty() || content.front() == '{') return "";
  if (content.find('\0') != std::string_view::npos) return "it is a binary file; predict reads JSON Lines";
  if (kind == InputKind::vectors && content.front() != '[')
    return "it is not JSON; expected JSON Lines such as {\"features\": [[0.1, 0.2], …]}";
  return fmt::format(
      "it is not JSON, and predict reads JSON Lines; convert it on the way: {} < {} | polyhead predict …",
      conversion(content, extension, kind), name.empty() ? "FILE" : shell_quoted(name));
}

}  // namespace polyhead
