// Counts depth and entries while nlohmann's parser reads, which has no limits of its own.
#include "core/base/strict_json.h"

#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace polyhead {

using nlohmann::json;

nlohmann::json parse_strictly(std::string_view text, const JsonLimits& limits) {
  struct Level {
    bool list = false;
    std::size_t entries = 0;
    std::set<std::string> keys = {};
  };
  std::vector<Level> levels;
  const auto fail = [](const std::string& what) { throw std::invalid_argument(what); };
  const auto count = [&] {
    if (!levels.empty() && levels.back().list && ++levels.back().entries > limits.list)
      fail(fmt::format("it has a list of more than {} entries", limits.list));
  };
  const auto watch = [&](int, json::parse_event_t event, json& value) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        count();
        if (levels.size() == limits.depth)
          fail(fmt::format("it has more than {} lists and objects within each other", limits.depth));
        levels.push_back({.list = event == json::parse_event_t::array_start});
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        levels.pop_back();
        break;
      case json::parse_event_t::key:
        if (levels.back().keys.size() == limits.object)
          fail(fmt::format("it has an object of more than {} keys", limits.object));
        if (!levels.back().keys.insert(value.get<std::string>()).second)
          fail(fmt::format("it has the key '{}' twice", value.get<std::string>()));
        break;
      case json::parse_event_t::value:
        count();
        break;
    }
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::exception& error) {
    throw std::invalid_argument(fmt::format("it is not JSON: {}", error.what()));
  }
}

}  // namespace polyhead
