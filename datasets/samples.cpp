// Messages of import that name file and line, and checks of texts.
#include "datasets/samples.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/names.h"
#include "datasets/tokenizer/unicode.h"

namespace polyhead {

bool blank(std::string_view text) {
  return text.find_first_not_of(kBlanks) == std::string_view::npos;
}

void SampleFile::fail(std::uint64_t line, const std::string& what) const {
  throw Error(Exit::data, fmt::format("task '{}', {} file {}, line {}: {}", task, split, file.string(), line,
                                      escape_controls(what)));
}

void SampleFile::fail(const Place& place, const std::string& what) {
  place.file->fail(place.line, what);
}

void check_text(const SampleFile& file, std::uint64_t line, std::string_view key, std::string_view text) {
  if (!is_utf8(text))
    file.fail(line, fmt::format("has a '{}' that is not UTF-8; convert the file (for example iconv -f WINDOWS-1252 -t "
                                "UTF-8) or take the line out",
                                key));
  if (blank(text)) file.fail(line, fmt::format("has an empty '{}'; fill it in or take the line out", key));
}

}  // namespace polyhead
