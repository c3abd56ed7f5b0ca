// Appends the check to a line of metrics.jsonl, and verifies it.
#include "launch/checked_line.h"

#include <nlohmann/json.hpp>

#include "core/base/hash.h"

namespace polyhead {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kCheck = ",\"check\":\"";
constexpr std::size_t kDigits = 16;

}  // namespace

std::string checked(const Json& json) {
  std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  line.pop_back();
  const std::string check = to_hex(hash_bytes(line));
  return line.append(kCheck).append(check).append("\"}\n");
}

bool whole(std::string_view line, const Json& json) {
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer() || !json.contains("kind"))
    return false;
  const std::size_t tail = kCheck.size() + kDigits + 2;
  if (line.size() > tail && line.substr(line.size() - tail, kCheck.size()) == kCheck)
    return line.substr(line.size() - kDigits - 2, kDigits) == to_hex(hash_bytes(line.substr(0, line.size() - tail)));
  // If the key "check" itself was damaged, its value is still the last one of the line.
  const Json& last = json.back();
  return !(last.is_string() && last.get<std::string>().size() == kDigits);
}

}  // namespace polyhead
