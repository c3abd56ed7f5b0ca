// JSON from files that others wrote: one value, of bounded depth, with numbers that can be written again as they were.
#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace polyhead {

// Lists and objects inside one another. Writing a value, and comparing and copying it, calls itself for each.
inline constexpr std::size_t kMaxJsonDepth = 4096;

// What is wrong with a text, without its place: "is not JSON (…)".
class JsonError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

enum class Numbers {
  rounded,  // as the nearest 64-bit number; integers of more than 64 bits as written
  exact     // as written where the 64-bit number would be written otherwise
};

// The value that `text` holds, whole. A number kept as written is a binary value of its characters: read it with
// number_of, write it with dump_exactly. Json is nlohmann::json or nlohmann::ordered_json. Throws JsonError for
// anything else than one JSON value, a zero byte, a number that no 64-bit float holds, and a depth above kMaxJsonDepth.
template <class Json>
Json parse_json(std::string_view text, Numbers numbers = Numbers::rounded);

// The number that a value of parse_json is; none where it is something else.
template <class Json>
std::optional<double> number_of(const Json& value);

// The characters of a number that was kept as written; none for any other value.
template <class Json>
std::optional<std::string> written_number(const Json& value);

// A value of parse_json on one line. Bytes that are not UTF-8 become U+FFFD.
std::string dump_exactly(const nlohmann::ordered_json& value);

}  // namespace polyhead
