// Lines of metrics.jsonl, whose end reveals whether they have been damaged.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace polyhead {

// Returns the line of a JSON object, {"kind":…}, as {"kind":…,"check":"0123456789abcdef"} and a line feed. The check is
// the xxh3-64 of the text before it. Numbers that are not finite become null.
std::string checked(const nlohmann::ordered_json& json);

// Whether a line without its line feed, and its parsed form, have not changed since they were written. Lines of earlier
// versions have no check. Every line has a kind and a step.
bool whole(std::string_view line, const nlohmann::ordered_json& json);

}  // namespace polyhead
