// Reads JSON Lines: one object per line, or the elements of a single JSON array. The required keys depend on the task's
// kind.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "datasets/reading/json_fields.h"
#include "datasets/reading/json_records.h"
#include "datasets/reading/samples.h"

namespace polyhead {
namespace {

using nlohmann::json;

// The object of a line, with its place for messages.
class Object {
 public:
  Object(const SampleFile& file, std::uint64_t line, const json& value) : file_(file), line_(line), value_(value) {
    if (!value.is_object()) fail("is not a JSON object; write one object a line, for example {\"text\": \"…\"}");
  }
  [[noreturn]] void fail(const std::string& what) const { file_.fail(line_, what); }
  // "" and white space are not a second text, like an empty field in a table.
  bool blank_text(const char* key) const { return value_[key].is_string() && blank(value_[key].get<std::string>()); }
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
    check_text(file_, line_, key, text);
    return text;
  }
  std::vector<std::string> texts(const char* key) const {
    const json& value = at(key);
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), [](const json& one) { return one.is_string(); }))
      fail(fmt::format("has a '{}' that is not a list of strings", key));
    return value.get<std::vector<std::string>>();
  }
  // Labels are names. Whole numbers, true and false are converted to names. Sets the sample's label_form.
  std::string name(const char* key, Sample& sample) const {
    const json& value = at(key);
    if (const auto known = named(value, sample)) return *known;
    return text(key);
  }
  std::vector<std::string> names(const char* key, Sample& sample) const {
    const json& value = at(key);
    if (!value.is_array()) fail(fmt::format("has a '{}' that is not a list of strings", key));
    std::vector<std::string> out;
    for (const json& one : value) {
      const LabelForm before = sample.label_form;
      if (const auto known = named(one, sample))
        out.push_back(*known);
      else if (one.is_string())
        out.push_back(one.get<std::string>());
      else
        fail(fmt::format("has a '{}' that is not a list of strings", key));
      if (one.is_string()) sample.label_form = LabelForm::text;
      if (out.size() > 1 && before != sample.label_form)
        fail(fmt::format("has '{}' of several types in one list; write them alike", key));
    }
    return out;
  }
  void numbers(const char* key, Sample& sample) const {
    const json& value = at(key);
    const json list = value.is_array() ? value : json::array({value});
    append(key, list, sample.value);
    for (const json& one : list) sample.exact.push_back(number_of(one).value_or(0));
    if (list.empty()) fail(fmt::format("has an empty '{}'", key));
  }
  void vectors(const char* key, Sample& sample) const {
    const json& value = at(key);
    if (!value.is_array() || value.empty() ||
        !std::all_of(value.begin(), value.end(), [](const json& one) { return one.is_array() && !one.empty(); }))
      fail(fmt::format("has a '{}' that is not a list of lists of numbers, for example [[0.5, 1], [0, 2]]", key));
    sample.width = value.front().size();
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (value[i].size() != sample.width)
        fail(fmt::format("has {} numbers in vector {} of '{}', {} in the first; all vectors need the same number",
                         value[i].size(), i, key, sample.width));
      append(key, value[i], sample.features);
    }
  }

 private:
  static std::optional<std::string> named(const json& value, Sample& sample) {
    sample.label_form = value.is_boolean() ? LabelForm::boolean : LabelForm::integer;
    if (value.is_boolean() || value.is_number_integer()) return value.dump();
    if (auto written = written_number(value)) return written;
    sample.label_form = LabelForm::text;
    return std::nullopt;
  }

  void append(const char* key, const json& list, std::vector<float>& out) const {
    for (const json& one : list) {
      const auto number = number_of(one);
      if (!number) fail(fmt::format("has a '{}' that is not a number or a list of numbers", key));
      out.push_back(static_cast<float>(*number));
      if (!std::isfinite(out.back())) fail(fmt::format("has a '{}' that no 32-bit float can hold", key));
    }
  }

  const SampleFile& file_;
  std::uint64_t line_;
  const json& value_;
};

void read_features(const Object& in, Kind kind, Sample& sample) {
  for (const char* key : {"text", "second", "words"})
    if (in.has(key)) in.fail(fmt::format("has both 'features' and '{}'; an input is one of them", key));
  if (kind == Kind::masked_lm) in.fail("has 'features', but masked_lm needs text; choose another kind of task");
  in.vectors("features", sample);
  if (kind != Kind::tagging) return;
  sample.tags = in.names("tags", sample);
  const std::size_t rows = sample.features.size() / sample.width;
  if (rows != sample.tags.size())
    in.fail(fmt::format("has {} vectors and {} tags; every vector needs one tag", rows, sample.tags.size()));
  for (const std::string& tag : sample.tags)
    if (tag.empty() || tag.find_first_of(kBlanks) != std::string::npos)
      in.fail(fmt::format("has '{}' in 'tags', which is empty or holds white space", tag));
}

class JsonLines : public SampleSource {
 public:
  explicit JsonLines(const SampleFile& file) : file_(file), in_(file) {}

  bool next(Record& record) override {
    if (!in_.next(record)) return false;
    if (first_) fields_ = JsonFields(file_, record);
    first_ = false;
    return true;
  }

  Sample parse(const Record& record) const override {
    json value;
    try {
      value = parse_json<json>(record.content);
    } catch (const JsonError& error) {
      file_.fail(record.line, fmt::format("{}; correct it or take the line out", error.what()));
    }
    fields_.rename(file_, record.line, value);
    const Object in(file_, record.line, value);
    Sample sample;
    sample.group = JsonFields::group(file_, record.line, value);
    sample.left_out = fields_.marks_no_label(file_, value);
    if (sample.left_out) return sample;
    if (in.has("features")) {
      read_features(in, file_.kind, sample);
    } else if (file_.kind == Kind::tagging) {
      sample.words = in.texts("words");
      sample.tags = in.names("tags", sample);
      check_words(file_, record.line, sample);
    } else {
      sample.text = in.text("text");
      if (in.has("second") && !in.blank_text("second")) sample.second = in.text("second");
    }
    switch (file_.kind) {
      case Kind::classification:
        sample.label = in.name("label", sample);
        break;
      case Kind::multilabel:
        sample.labels = in.names("labels", sample);
        break;
      case Kind::regression:
        in.numbers("value", sample);
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

 private:
  const SampleFile& file_;
  JsonRecords in_;
  JsonFields fields_;
  bool first_ = true;
};

}  // namespace

std::unique_ptr<SampleSource> open_jsonl(const SampleFile& file) {
  return std::make_unique<JsonLines>(file);
}

}  // namespace polyhead
