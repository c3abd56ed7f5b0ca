// Reads JSON from foreign files: one value of bounded depth, whose numbers can be written again exactly as they were.
#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace polyhead {

// Maximum depth of nested lists and objects. Writing, comparing and copying a value recurses once per level.
inline constexpr std::size_t kMaxJsonDepth = 4096;

// Says what is wrong with a text, without its place: "is not JSON (…)".
class JsonError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

enum class Numbers {
  rounded,  // as the nearest 64-bit number; integers of more than 64 bits keep their characters
  exact     // a number keeps its characters if the 64-bit number would be written differently
};

// Parses `text`, which must be a single JSON value. Json is nlohmann::json or nlohmann::ordered_json.
// - A number that keeps its characters becomes a binary value: read it with number_of(), write it with dump_exactly().
// - Throws JsonError for anything else than one JSON value, for a zero byte, for a key that an object has twice, for a
//   number that does not fit into a 64-bit float, and for a depth above kMaxJsonDepth.
template <class Json>
Json parse_json(std::string_view text, Numbers numbers = Numbers::rounded);

// Returns a value of parse_json() as a number, or nullopt if it is not a number.
template <class Json>
std::optional<double> number_of(const Json& value);

// Returns the characters of a number that kept them, or nullopt for any other value.
template <class Json>
std::optional<std::string> written_number(const Json& value);

// Writes a value of parse_json() on one line. Bytes that are not UTF-8 become U+FFFD.
std::string dump_exactly(const nlohmann::ordered_json& value);

}  // namespace polyhead
