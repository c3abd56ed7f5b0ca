// Reads JSON Lines: one object per line, or the elements of a single JSON array. The task's kind says which keys a
// sample has.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "datasets/reading/json_fields.h"
#include "datasets/reading/json_records.h"
#include "datasets/reading/sample_source.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

using nlohmann::json;

// The object of a line.
class Object : public SampleParts {
 public:
  Object(const SampleFile& file, std::uint64_t line, const json& value) : SampleParts(file, line), value_(value) {
    if (!value.is_object()) fail("is not a JSON object; write one object a line, for example {\"text\": \"…\"}");
  }
  bool has(std::string_view part) const override { return value_.contains(part) && !value_[part].is_null(); }
  bool has_vectors() const override { return has("features"); }
  void input(Sample& sample) const override {
    if (has_vectors()) return read_vectors(sample);
    sample.text = text("text");
    // "" and white space are not a second text, like an empty field in a table.
    if (has("second") && !is_blank("second")) sample.second = text("second");
  }
  std::string text(std::string_view part) const override { return text_of(part, at(part)); }
  std::vector<std::string> texts(std::string_view part) const override {
    const json& value = at(part);
    if (!value.is_array()) return {text(part)};
    std::vector<std::string> all;
    for (const json& one : value) all.push_back(text_of(part, one));
    return all;
  }
  std::vector<std::string> words(std::string_view part) const override {
    const json& value = at(part);
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), [](const json& one) { return one.is_string(); }))
      fail(fmt::format("has a '{}' that is not a list of strings", part));
    return value.get<std::vector<std::string>>();
  }
  std::string label(std::string_view part, Sample& sample) const override {
    if (const auto known = named(at(part), sample)) return *known;
    return text(part);
  }
  std::vector<std::string> word_labels(std::string_view part, Sample& sample) const override {
    const json& value = at(part);
    if (!value.is_array()) fail(fmt::format("has a '{}' that is not a list of strings", part));
    std::vector<std::string> out;
    for (const json& one : value) {
      const LabelForm before = sample.label_form;
      if (const auto known = named(one, sample))
        out.push_back(*known);
      else if (one.is_string())
        out.push_back(one.get<std::string>());
      else
        fail(fmt::format("has a '{}' that is not a list of strings", part));
      if (one.is_string()) sample.label_form = LabelForm::text;
      if (out.size() > 1 && before != sample.label_form)
        fail(fmt::format("has '{}' of several types in one list; write them alike", part));
    }
    return out;
  }
  std::vector<std::string> label_set(std::string_view part, Sample& sample) const override {
    return word_labels(part, sample);
  }
  void numbers(std::string_view part, Sample& sample) const override {
    const json& value = at(part);
    const json list = value.is_array() ? value : json::array({value});
    append(part, list, sample.value);
    for (const json& one : list) sample.exact.push_back(number_of(one).value_or(0));
    if (list.empty()) fail(fmt::format("has an empty '{}'", part));
  }

 private:
  const json& at(std::string_view part) const {
    if (!has(part))
      fail(fmt::format("lacks the key '{}', which a {} task needs; add it or take the line out", part,
                       name_of(file().kind)));
    return value_[part];
  }
  bool is_blank(std::string_view part) const {
    return value_[part].is_string() && blank(value_[part].get<std::string>());
  }
  std::string text_of(std::string_view part, const json& value) const {
    if (!value.is_string()) fail(fmt::format("has a '{}' of type {}, expected a string", part, value.type_name()));
    std::string text = value.get<std::string>();
    check_text(file(), line(), part, text);
    return text;
  }
  void read_vectors(Sample& sample) const {
    for (const std::string_view part : {"text", "second", "words"})
      if (has(part)) fail(fmt::format("has both 'features' and '{}'; an input is one of them", part));
    if (!target_of(file().kind).takes_vectors())
      fail(fmt::format("has 'features', but {} needs text; choose another kind of task", name_of(file().kind)));
    const json& value = at("features");
    if (!value.is_array() || value.empty() ||
        !std::all_of(value.begin(), value.end(), [](const json& one) { return one.is_array() && !one.empty(); }))
      fail("has a 'features' that is not a list of lists of numbers, for example [[0.5, 1], [0, 2]]");
    sample.width = value.front().size();
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (value[i].size() != sample.width)
        fail(fmt::format("has {} numbers in vector {} of 'features', {} in the first; all vectors need the same number",
                         value[i].size(), i, sample.width));
      append("features", value[i], sample.features);
    }
  }
  // Labels are names. Whole numbers, true and false are converted to names. Sets the sample's label_form.
  static std::optional<std::string> named(const json& value, Sample& sample) {
    sample.label_form = value.is_boolean() ? LabelForm::boolean : LabelForm::integer;
    if (value.is_boolean() || value.is_number_integer()) return value.dump();
    if (auto written = written_number(value)) return written;
    sample.label_form = LabelForm::text;
    return std::nullopt;
  }

  void append(std::string_view key, const json& list, std::vector<float>& out) const {
    for (const json& one : list) {
      const auto number = number_of(one);
      if (!number) fail(fmt::format("has a '{}' that is not a number or a list of numbers", key));
      out.push_back(static_cast<float>(*number));
      if (!std::isfinite(out.back())) fail(fmt::format("has a '{}' that no 32-bit float can hold", key));
    }
  }

  const json& value_;
};

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
    target_of(file_.kind).read(in, sample);
    if (fields_.has_weights(file_)) in.weight(sample);
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
