// Numbers as people write them, with one reading for the command line, INI files, CSV and JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace polyhead {

enum class NumberProblem { none, malformed, too_large };

// Reads all of `text` as a decimal number: an optional sign, digits with at most one '.', an optional exponent; for
// example 60, +60.0, -.5, 1e-50. There is no white space, no hexadecimal number, no inf or nan. The value is rounded to
// the nearest double; what is too small for one becomes 0 with its sign, as in JSON. `value` changes only without a
// problem.
NumberProblem read_number(std::string_view text, double& value);
// The same, then rounded to the nearest float, as numbers of JSON are.
NumberProblem read_number(std::string_view text, float& value);
// An optional sign and decimal digits, of a 64-bit integer.
NumberProblem read_number(std::string_view text, std::int64_t& value);

// The same; nullopt on any problem.
std::optional<double> parse_number(std::string_view text);
std::optional<std::int64_t> parse_integer(std::string_view text);

}  // namespace polyhead
