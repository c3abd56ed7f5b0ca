// Samples of JSONL files, checked field by field.
#include "datasets/jsonl.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace polyhead {
namespace {

using nlohmann::json;

constexpr std::string_view kBlanks = " \t\r\n\v\f";

bool blank(const std::string& text) {
  return text.find_first_not_of(kBlanks) == std::string::npos;
}

// One line's object with its place for messages.
class Object {
 public:
  Object(const SampleFile& file, std::uint64_t line, const json& value) : file_(file), line_(line), value_(value) {
    if (!value.is_object()) fail("is not a JSON object; write one object a line, for example {\"text\": \"…\"}");
  }
  [[noreturn]] void fail(const std::string& what) const { file_.fail(line_, what); }
  bool has(const char* key) const { return value_.contains(key) && !value_[key].is_null(); }
  const json& at(const char* key) const {
    if (!has(key))
      fail(fmt::format("lacks the key '{}', which a {} task needs; add it or take the line out", key,
                       name_of(file_.kind)));
    return value_[key];
  }
  std::string text(const char* key) const {
    const json& value = at(key);
    if (!value.is_string()) fail(fmt::format("has a '{}' of type {}, expected a string", key, value.type_name()));
    std::string text = value.get<std::string>();
    if (blank(text)) fail(fmt::format("has an empty '{}'; give it text or take the line out", key));
    return text;
  }
  std::vector<std::string> texts(const char* key) const {
    const json& value = at(key);
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), [](const json& one) { return one.is_string(); }))
      fail(fmt::format("has a '{}' that is not a list of strings", key));
    return value.get<std::vector<std::string>>();
  }
  // A label is a name; whole numbers count as theirs.
  std::string name(const char* key) const { return at(key).is_number_integer() ? at(key).dump() : text(key); }
  std::vector<float> numbers(const char* key) const {
    const json& value = at(key);
    const json list = value.is_array() ? value : json::array({value});
    std::vector<float> out;
    for (const json& one : list) {
      if (!one.is_number()) fail(fmt::format("has a '{}' that is not a number or a list of numbers", key));
      out.push_back(one.get<float>());
      if (!std::isfinite(out.back())) fail(fmt::format("has a '{}' that no 32-bit float can hold", key));
    }
    if (out.empty()) fail(fmt::format("has an empty '{}'", key));
    return out;
  }

 private:
  const SampleFile& file_;
  std::uint64_t line_;
  const json& value_;
};

void read_words(const Object& in, Sample& sample) {
  sample.words = in.texts("words");
  sample.tags = in.texts("tags");
  if (sample.words.empty()) in.fail("has an empty 'words'; give it words or take the line out");
  if (sample.words.size() != sample.tags.size())
    in.fail(fmt::format("has {} words and {} tags; every word needs one tag", sample.words.size(), sample.tags.size()));
  const auto check = [&](const std::vector<std::string>& list, const char* key) {
    for (const std::string& one : list)
      if (one.empty() || one.find_first_of(kBlanks) != std::string::npos)
        in.fail(
            fmt::format("has '{}' in '{}', which is empty or holds white space; split it or take it out", one, key));
  };
  check(sample.words, "words");
  check(sample.tags, "tags");
  for (const std::string& word : sample.words) sample.text += (sample.text.empty() ? "" : " ") + word;
}

}  // namespace

void SampleFile::fail(std::uint64_t line, const std::string& what) const {
  throw Error(Exit::data, fmt::format("task '{}', {} file {}, line {}: {}", task, split, file.string(), line, what));
}

Sample SampleFile::parse(std::uint64_t line, const std::string& content) const {
  json value;
  try {
    value = json::parse(content);
  } catch (const json::parse_error& error) {
    fail(line, fmt::format("is not JSON ({}); correct it or take the line out", error.what()));
  }
  const Object in(*this, line, value);
  Sample sample;
  if (kind == Kind::tagging) {
    read_words(in, sample);
    return sample;
  }
  sample.text = in.text("text");
  if (in.has("second")) sample.second = in.text("second");
  switch (kind) {
    case Kind::classification:
      sample.label = in.name("label");
      break;
    case Kind::multilabel:
      sample.labels = in.texts("labels");
      break;
    case Kind::regression:
      sample.value = in.numbers("value");
      break;
    case Kind::translation:
      sample.target = in.text("target");
      break;
    case Kind::tagging:
    case Kind::masked_lm:
      break;
  }
  return sample;
}

LineReader::LineReader(const SampleFile& file) : file_(file), in_(file.file) {
  if (!in_ || std::filesystem::is_directory(file.file))
    throw Error(Exit::data,
                fmt::format("task '{}': cannot open its {} file {}: {}; correct the path in the import description "
                            "(paths are relative to it)",
                            file.task, file.split, file.file.string(),
                            std::system_category().message(errno != 0 ? errno : EISDIR)));
}

bool LineReader::next(Line& line) {
  while (std::getline(in_, line.content)) {
    if (++number_ == 1 && line.content.starts_with("\xef\xbb\xbf")) line.content.erase(0, 3);  // byte order mark
    line.number = number_;
    if (!blank(line.content)) return true;
  }
  if (in_.bad()) file_.fail(number_ + 1, "cannot be read: " + std::system_category().message(errno));
  return false;
}

}  // namespace polyhead
