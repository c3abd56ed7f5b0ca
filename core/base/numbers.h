// Numbers as users write them, read in the same way on the command line and from INI files, CSV and JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace polyhead {

enum class NumberProblem { none, malformed, too_large };

// Reads all of `text` as a decimal number: an optional sign, digits with at most one '.', and an optional exponent, for
// example 60, +60.0, -.5, 1e-50.
// - White space, hexadecimal numbers, inf and nan are not accepted.
// - The value is rounded to the nearest double. A value that is too small becomes 0 with its sign, as in JSON.
// - `value` does not change if there is a problem.
NumberProblem read_number(std::string_view text, double& value);
// The same, then rounded to the nearest float, as numbers in JSON are.
NumberProblem read_number(std::string_view text, float& value);
// Reads an optional sign and decimal digits as a 64-bit integer.
NumberProblem read_number(std::string_view text, std::int64_t& value);

// The same, but returns nullopt if there is a problem.
std::optional<double> parse_number(std::string_view text);
std::optional<std::int64_t> parse_integer(std::string_view text);

// Whether two texts are equal, or are numbers of the same value: "1e-3" and "0.001".
bool same_value(const std::string& a, const std::string& b);

}  // namespace polyhead
