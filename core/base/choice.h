// Enums whose values have names, which options, messages and files use.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>

namespace polyhead {

// An enum with values 0, 1, … and a function that returns their names in this order, declared next to it:
//   enum class Color { red, blue };
//   constexpr std::array<std::string_view, 2> choices(Color) { return {"red", "blue"}; }
template <typename E>
concept Choice = std::is_enum_v<E> && requires(E value) {
  { choices(value)[0] } -> std::convertible_to<std::string_view>;
};

template <Choice E>
constexpr std::string_view name_of(E value) {
  return choices(value)[static_cast<std::size_t>(value)];
}

// Returns the value with this name.
template <Choice E>
constexpr std::optional<E> choice_from(std::string_view name) {
  const auto names = choices(E{});
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return static_cast<E>(i);
  return std::nullopt;
}

// Returns all names in one text, such as "red, blue" or "red|blue".
template <Choice E>
std::string all_choices(std::string_view separator) {
  std::string all;
  for (const std::string_view name : choices(E{})) {
    if (!all.empty()) all += separator;
    all += name;
  }
  return all;
}

}  // namespace polyhead
