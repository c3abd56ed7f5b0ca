// JSON from files that anybody may have written: read within limits that the reader knows.
#pragma once

#include <cstddef>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace polyhead {

struct JsonLimits {
  std::size_t depth = 16;        // objects and lists within each other, the outermost included
  std::size_t list = 1'000'000;  // entries of a list
  std::size_t nested = 100'000;  // those of a list that are objects or lists themselves
  std::size_t object = 100'000;  // keys of an object
};

// Throws std::invalid_argument, which says what is wrong and under which key: no JSON, a key that is there twice, or
// beyond the limits. The text is read no further than to there, and nothing is kept of it before all of it was looked
// at.
nlohmann::json parse_strictly(std::string_view text, const JsonLimits& limits = {});

}  // namespace polyhead
