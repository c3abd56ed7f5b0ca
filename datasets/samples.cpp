// Messages of import that name file and line, and checks of texts.
#include "datasets/samples.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/names.h"
#include "datasets/column.h"
#include "datasets/sample_parts.h"
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

void SampleParts::weight(Sample& sample) const {
  if (!has("weight")) return;
  Sample read;
  try {
    numbers("weight", read);
    if (read.value.size() != 1) fail(fmt::format("has {} numbers in 'weight', expected one", read.value.size()));
    if (!is_sample_weight(read.value[0]))
      fail(
          fmt::format("has the weight {}, expected 0 or a number from {:g} to {:g} (only the ratios of weights count, "
                      "so all of a task may be multiplied by the same number)",
                      read.exact[0], kLeastSampleWeight, kMostSampleWeight));
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}; if it is not the weight of the sample in the loss, add 'weights = no' "
                                          "to the task's section",
                                          error.what()));
  }
  sample.weight = read.value[0];
}

void check_text(const SampleFile& file, std::uint64_t line, std::string_view key, std::string_view text) {
  if (!is_utf8(text))
    file.fail(line, fmt::format("has a '{}' that is not UTF-8; convert the file (for example iconv -f WINDOWS-1252 -t "
                                "UTF-8) or take the line out",
                                key));
  if (blank(text)) file.fail(line, fmt::format("has an empty '{}'; fill it in or take the line out", key));
}

}  // namespace polyhead
