// Looks up keys, and keys inside keys.
#include "datasets/reading/json_fields.h"

#include <utility>

#include <fmt/format.h>

#include "datasets/target.h"

namespace polyhead {
namespace {

using nlohmann::json;

// Finds "translation.it": the key of this name, or the key "it" of the object "translation". Null if there is none.
template <class Json>
auto find(Json& object, const std::string& name) -> decltype(&object[name]) {
  if (const auto found = object.find(name); found != object.end()) return &*found;
  const std::size_t dot = name.find('.');
  if (dot == std::string::npos) return nullptr;
  const auto outer = object.find(name.substr(0, dot));
  if (outer == object.end() || !outer->is_object()) return nullptr;
  const auto inner = outer->find(name.substr(dot + 1));
  return inner == outer->end() ? nullptr : &*inner;
}

std::vector<std::string> names_of(const nlohmann::ordered_json& object) {
  std::vector<std::string> names;
  for (const auto& [key, value] : object.items()) {
    // An object with other keys is not a part itself.
    if (!value.is_object()) names.push_back(key);
    if (value.is_object())
      for (const auto& [inner, unused] : value.items()) names.push_back(fmt::format("{}.{}", key, inner));
  }
  return names;
}

}  // namespace

JsonFields::JsonFields(const SampleFile& file, const Record& first) {
  const auto object = nlohmann::ordered_json::parse(first.content, nullptr, false);
  if (!object.is_object()) return;
  names_ = FieldNames(file, first.line, names_of(object), "key");
  names_.say(file);
}

void JsonFields::rename(const SampleFile& file, std::uint64_t line, json& object) const {
  if (!object.is_object()) return;
  std::vector<std::pair<std::string, json>> moved;
  for (const std::string_view part : part_names()) {
    const std::string ours(part);
    const std::string& theirs = names_.of(part);
    if (theirs.empty() || theirs == ours) continue;
    json* value = find(object, theirs);
    if ((value == nullptr || value->is_null()) && !names_.is_optional(part))
      file.fail(line,
                fmt::format("lacks the key '{}', which stands for '{}'; add it or take the line out", theirs, ours));
    moved.emplace_back(ours, value == nullptr ? json() : *value);
  }
  for (auto& [key, value] : moved) object[key] = std::move(value);
}

std::string JsonFields::group(const SampleFile& file, std::uint64_t line, const json& object) {
  if (file.group.empty() || !object.is_object()) return "";
  const json* value = find(object, file.group);
  if (value == nullptr || value->is_null() || value->is_structured())
    file.fail(line, fmt::format("has no text or number in the key '{}', which 'group' names", file.group));
  return value->is_string() ? value->get<std::string>() : value->dump();
}

bool JsonFields::marks_no_label(const SampleFile& file, const json& object) const {
  const LabelRules* rules = target_of(file.kind).labels();
  if (rules == nullptr || !rules->optional || !object.is_object() || !object.contains(rules->part)) return false;
  const json& label = object[rules->part];
  return names_.marks_no_label(file, label.is_string() ? label.get<std::string>() : label.dump());
}

}  // namespace polyhead
