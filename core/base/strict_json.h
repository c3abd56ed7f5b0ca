// Parses JSON from untrusted files, within limits that the caller sets.
#pragma once

#include <cstddef>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace polyhead {

struct JsonLimits {
  std::size_t depth = 16;        // nesting depth of objects and lists, the outermost included
  std::size_t list = 1'000'000;  // entries per list
  std::size_t nested = 100'000;  // entries per list that are objects or lists themselves
  std::size_t object = 100'000;  // keys per object
};

// Throws std::invalid_argument, which says what is wrong and under which key: invalid JSON, a duplicate key, or a limit
// exceeded. Reading ends at the first error, and no value is built before the whole text has been checked.
nlohmann::json parse_strictly(std::string_view text, const JsonLimits& limits = {});

}  // namespace polyhead
