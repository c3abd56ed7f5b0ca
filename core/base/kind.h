// The kinds of task.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace polyhead {

enum class Kind { classification, multilabel, regression, tagging, masked_lm, translation, span };

inline constexpr std::array<std::string_view, 7> kKindNames = {"classification", "multilabel",  "regression", "tagging",
                                                               "masked_lm",      "translation", "span"};

inline std::string_view name_of(Kind kind) {
  return kKindNames[static_cast<std::size_t>(kind)];
}

inline std::optional<Kind> kind_from(std::string_view name) {
  for (std::size_t i = 0; i < kKindNames.size(); ++i)
    if (kKindNames[i] == name) return static_cast<Kind>(i);
  return std::nullopt;
}

}  // namespace polyhead
