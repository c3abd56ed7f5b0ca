// Reads {"info": {"features": {"label": {"names": ["negative", "positive"], "_type": "ClassLabel"}}}}.
#include "datasets/reading/parquet/module/class_names.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace polyhead {
namespace {

using nlohmann::json;

// A list is written as [FEATURE], or as {"feature": FEATURE, "_type": "Sequence"} or "List".
const json& element(const json& feature) {
  const json* inner = &feature;
  while (true) {
    if (inner->is_array() && inner->size() == 1)
      inner = &inner->front();
    else if (inner->is_object() && inner->contains("feature"))
      inner = &(*inner)["feature"];
    else
      return *inner;
  }
}

}  // namespace

std::map<std::string, std::vector<std::string>> class_names(const std::string& schema) {
  std::map<std::string, std::vector<std::string>> all;
  const json about = json::parse(schema, nullptr, false);
  const json::json_pointer place("/info/features");
  if (!about.is_object() || !about.contains(place) || !about[place].is_object()) return all;
  for (const auto& [column, feature] : about[place].items()) {
    const json& one = element(feature);
    if (!one.is_object() || one.value("_type", json()) != "ClassLabel" || !one.contains("names")) continue;
    const json& names = one["names"];
    if (names.is_array() && std::all_of(names.begin(), names.end(), [](const json& name) { return name.is_string(); }))
      all[column] = names.get<std::vector<std::string>>();
  }
  return all;
}

}  // namespace polyhead
