// Code shared by the formats of import: choosing a source, messages, and checks of texts and words.
#include "datasets/reading/samples.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/names.h"
#include "datasets/import/labels.h"
#include "datasets/import/tag_schemes.h"
#include "datasets/tokenizer/unicode.h"

namespace polyhead {
namespace {

std::unique_ptr<SampleSource> open_format(const SampleFile& file) {
  switch (file.format) {
    case Format::jsonl:
      return open_jsonl(file);
    case Format::tsv:
    case Format::csv:
      return open_delimited(file);
    case Format::text:
      return open_text(file);
    case Format::conllu:
      return open_conllu(file);
    case Format::conll:
      return open_conll(file);
  }
  throw Error(Exit::internal, "a format without a reader");
}

class Tidied : public SampleSource {
 public:
  explicit Tidied(const SampleFile& file) : file_(file), source_(open_format(file)) {}
  bool next(Record& record) override { return source_->next(record); }
  Sample parse(const Record& record) const override {
    Sample sample = source_->parse(record);
    if (!sample.left_out) tidy_labels(file_, record.line, sample);
    return sample;
  }

 private:
  const SampleFile& file_;
  std::unique_ptr<SampleSource> source_;
};

}  // namespace

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

void check_text(const SampleFile& file, std::uint64_t line, const char* key, std::string_view text) {
  if (!is_utf8(text))
    file.fail(line,
              fmt::format("has a '{}' that is not UTF-8; convert the file (iconv -t UTF-8) or take the line out", key));
  if (blank(text)) file.fail(line, fmt::format("has an empty '{}'; give it text or take the line out", key));
}

void check_words(const SampleFile& file, std::uint64_t line, Sample& sample) {
  if (sample.words.empty()) file.fail(line, "has an empty 'words'; give it words or take the line out");
  if (sample.words.size() != sample.tags.size())
    file.fail(line, fmt::format("has {} words and {} tags; every word needs one tag", sample.words.size(),
                                sample.tags.size()));
  const auto check = [&](const std::vector<std::string>& list, const char* key) {
    for (const std::string& one : list)
      if (one.empty() || one.find_first_of(kBlanks) != std::string::npos)
        file.fail(line, fmt::format("has '{}' in '{}', which is empty or holds white space; split it or take it out",
                                    one, key));
      else if (!is_utf8(one))
        check_text(file, line, key, one);
  };
  check(sample.words, "words");
  check(sample.tags, "tags");
  if (file.bio.value_or(file.format == Format::conll)) sample.changed_tags = to_bio(sample.tags);
  for (const std::string& word : sample.words) sample.text += (sample.text.empty() ? "" : " ") + word;
}

std::unique_ptr<SampleSource> open_samples(const SampleFile& file) {
  return std::make_unique<Tidied>(file);
}

}  // namespace polyhead
