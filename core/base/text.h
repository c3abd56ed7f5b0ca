// Small functions on text that several folders share.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace polyhead {

inline constexpr std::string_view kBlanks = " \t\r\n\v\f";

// Removes white space at both ends.
std::string_view trim(std::string_view text);

// Inserts a comma before every third digit from the end: "-1,234,567".
std::string group_digits(std::string digits);
std::string with_commas(std::integral auto number) {
  return group_digits(std::to_string(number));
}

// Returns what an input consists of, for messages: "vectors of 12 numbers", or `otherwise` if the width is 0.
std::string describe_input(std::integral auto feature_width, std::string_view otherwise = "tokens") {
  return feature_width == 0 ? std::string(otherwise) : "vectors of " + std::to_string(feature_width) + " numbers";
}

}  // namespace polyhead
