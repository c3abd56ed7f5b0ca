// A table of the first bytes of formats. Other binary files are recognised by their control characters.
#include "datasets/reading/foreign_formats.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/base/names.h"
#include "datasets/reading/parquet.h"

namespace polyhead {
namespace {

using namespace std::string_view_literals;

// `call` is the pandas function that reads the file into a data frame.
std::string by_pandas(std::string_view call, const std::filesystem::path& file) {
  std::filesystem::path to = file.filename();
  to.replace_extension(".jsonl");
  return fmt::format(
      "convert it to JSON Lines: python -c \"import pandas as pd; pd.{}('{}').to_json('{}', orient='records', "
      "lines=True, force_ascii=False)\"",
      call, file.string(), to.string());
}

struct Known {
  std::string_view bytes, name, cure;
};

constexpr std::array<Known, 15> kKnown = {{
    {"\xfd"
     "7zXZ\0"sv,
     "an xz archive", "decompress it with xz -d"},
    {"\x04\x22\x4d\x18"sv, "an lz4 archive", "decompress it with lz4 -d"},
    {"7z\xbc\xaf\x27\x1c"sv, "a 7z archive", "unpack it with 7z x"},
    {"\x89HDF\r\n\x1a\n"sv, "HDF5",
     "give the folder of a data set to train --data; import reads files of texts, such as JSON Lines"},
    {"\x93NUMPY"sv, "a NumPy array", "write it as JSON Lines with the key 'features', a list of vectors a line"},
    {"SQLite format 3\0"sv, "an SQLite database", "write the table as CSV: sqlite3 -header -csv FILE 'SELECT …'"},
    {"\xd0\xcf\x11\xe0"sv, "an old Excel or Word file", "save it as CSV in UTF-8"},
    {"%PDF-"sv, "PDF", "extract its text (pdftotext) first"},
    {"Obj\x01"sv, "Avro", "write its records as JSON Lines (avro-tools tojson)"},
    {"ORC"sv, "ORC", "write its rows as JSON Lines (pandas.read_orc)"},
    {"\x80\x04\x95"sv, "a Python pickle", "write its samples as JSON Lines; import runs no code from data"},
    {"\x80\x05\x95"sv, "a Python pickle", "write its samples as JSON Lines; import runs no code from data"},
    {"\xff\xfe\0\0"sv, "UTF-32 text", "convert it: iconv -f UTF-32 -t UTF-8"},
    {"\xff\xfe"sv, "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"},
    {"\xfe\xff"sv, "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"},
}};

// Office programs write ZIP archives, which may have been renamed to a name like data.csv.
bool is_spreadsheet(std::string_view zip, std::string_view ending) {
  constexpr std::array<std::string_view, 5> endings = {".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"};
  constexpr std::array<std::string_view, 3> contents = {"[Content_Types].xml", "docProps/", "opendocument.spreadsheet"};
  return std::ranges::find(endings, ending) != endings.end() ||
         (ending != ".docx" && ending != ".pptx" &&
          std::ranges::any_of(contents, [&](std::string_view one) { return zip.find(one) != zip.npos; }));
}

bool is_control(char c) {  // a text may hold others, such as tabs and the colours of a terminal
  const auto byte = static_cast<unsigned char>(c);
  return byte < 7 || (byte > 13 && byte < 26) || (byte > 27 && byte < 32);
}

// Whether this is UTF-8, but for a character at its end that may be cut.
bool is_cut_utf8(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) >= 0x80) text.remove_suffix(1);
  return is_utf8(text);
}

// Returns what a file without known first bytes is, if it is not text; "" for text. If the first line is text, a later
// one that is not will be named with its number.
std::string not_text(std::string_view head, std::string_view ending) {
  const std::string_view line = head.substr(0, head.find('\n'));
  if (is_cut_utf8(line) && std::ranges::none_of(line, is_control)) return "";
  std::array<std::size_t, 2> zeros{};  // at even and at odd places
  for (std::size_t i = 0; i < head.size(); ++i) zeros[i % 2] += head[i] == '\0' ? 1 : 0;
  const auto [few, many] = std::minmax(zeros[0], zeros[1]);
  const auto controls = static_cast<std::size_t>(std::ranges::count_if(head, is_control));
  if (few == 0 && many == controls && many * 4 > head.size())
    return fmt::format("is UTF-16 text, which import does not read; convert it: iconv -f UTF-16{} -t UTF-8",
                       zeros[0] == 0 ? "LE" : "BE");
  if (controls < 2 || controls * 64 <= head.size() || (many == 0 && is_cut_utf8(head))) return "";
  return fmt::format(
      "is a binary file, not {}: {} of its first {} bytes are control characters; write its samples as "
      "JSON Lines or CSV, or correct the path",
      ending == ".csv" ? "CSV" : (ending == ".tsv" ? "TSV" : "text"), controls, head.size());
}

}  // namespace

std::string foreign_format(std::string_view head, const std::filesystem::path& file) {
  const auto message = [](std::string_view name, const std::string& cure) {
    return fmt::format("is {}, which import does not read; {}", name, cure);
  };
  const std::string ending = file.extension().string();
  if (is_parquet(head))
    return fmt::format(
        "is Parquet, and this program was built without Apache Arrow; run launch/setup and build it again, or {}",
        by_pandas("read_parquet", file));
  // The length of an encrypted block follows; a text has no zero byte.
  if (head.starts_with("PARE") && head.size() > 7 && head[7] == '\0')
    return message("encrypted Parquet", "write its rows without encryption");
  if (head.starts_with("ARROW1")) return message("Arrow", by_pandas("read_feather", file));
  if (head.starts_with("\xff\xff\xff\xff"sv) && ending == ".arrow")
    return message("an Arrow stream", fmt::format("convert it to JSON Lines: python -c \"import datasets; "
                                                  "datasets.Dataset.from_file('{}').to_json('{}', force_ascii=False)\"",
                                                  file.string(), file.stem().string() + ".jsonl"));
  if (head.starts_with("PK\x03\x04")) {
    if (is_spreadsheet(head, ending)) return message("a spreadsheet", by_pandas("read_excel", file));
    if (ending == ".npz")
      return message("NumPy arrays", "write them as JSON Lines with the key 'features', a list of vectors a line");
    return message("a ZIP archive", "unpack it with unzip, and name the files in it");
  }
  if (head.size() >= 262 && head.substr(257, 5) == "ustar")
    return message("a tar archive", "unpack it with tar -xf, and name the files in it");
  for (const Known& known : kKnown)
    if (head.starts_with(known.bytes)) return message(known.name, std::string(known.cure));
  if (ending == ".parquet")
    return "has the ending .parquet but is not a Parquet file; get it again, or rename it if it has another format";
  return not_text(head, ending);
}

}  // namespace polyhead
