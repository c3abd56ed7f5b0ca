// The values of declared options as text, and the checks of their ranges.
#include "core/base/field.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/at.h"
#include "core/base/error.h"
#include "core/base/numbers.h"

namespace polyhead {
namespace {

// "5e-4" is easier to read than 0.0005, and than fmt's 1e-08.
std::string number_text(double value) {
  std::string text = fmt::format("{}", value);
  if (value == 0 || !(std::abs(value) < 1e-3)) return text;
  text = fmt::format("{:e}", value);
  std::string digits = text.substr(0, text.find('e'));
  digits.erase(digits.find_last_not_of("0") + 1);
  if (digits.ends_with('.')) digits.pop_back();
  return fmt::format("{}e{}", digits, std::stoi(text.substr(text.find('e') + 1)));
}

struct AsText {
  std::string operator()(const NamedMember& choice) const { return choice.text(); }
  std::string operator()(const double* value) const { return number_text(*value); }
  std::string operator()(const std::optional<double>* value) const { return *value ? number_text(**value) : ""; }
  std::string operator()(const std::optional<std::int64_t>* value) const {
    return *value ? fmt::format("{}", **value) : "";
  }
  std::string operator()(const std::string* value) const { return *value; }
  std::string operator()(const std::filesystem::path* value) const { return value->string(); }
  std::string operator()(const std::map<std::string, std::string>* value) const {
    std::vector<std::string> entries;
    for (const auto& [key, one] : *value) entries.push_back(fmt::format("{}={}", key, one));
    return fmt::format("{}", fmt::join(entries, ", "));
  }
  template <class Element>
  std::string operator()(const std::vector<Element>* values) const {
    return fmt::format("{}", fmt::join(*values, ", "));
  }
  template <class Integer>
  std::string operator()(const Integer* value) const {
    return fmt::format("{}", *value);
  }
};

// The value as a number; nullopt for members of other types.
struct AsNumber {
  std::optional<double> operator()(const NamedMember&) const { return std::nullopt; }
  template <class Number>
  std::optional<double> operator()(const std::optional<Number>* value) const {
    return *value ? std::optional(static_cast<double>(**value)) : std::nullopt;
  }
  template <class Value>
  std::optional<double> operator()(const Value* value) const {
    if constexpr (std::is_arithmetic_v<Value>) return static_cast<double>(*value);
    return std::nullopt;
  }
};

// Calls visit(sign, limit) for each bound of a range until it returns false; returns whether it never did.
template <class Visit>
bool each_bound(std::string_view range, Visit visit) {
  while (!range.empty()) {
    const std::string_view bound = range.substr(0, range.find(','));
    range.remove_prefix(std::min(bound.size() + 1, range.size()));
    const std::size_t digit = bound.find_first_not_of("<>=");
    if (!visit(bound.substr(0, digit), bound.substr(digit))) return false;
  }
  return true;
}

}  // namespace

NamedMember::NamedMember(bool* member, std::string_view no, std::string_view yes)
    : names_({no, yes}),
      get_([member, no, yes] { return std::string(*member ? yes : no); }),
      set_([member](std::size_t index) { *member = index == 1; }) {}

NamedMember::NamedMember(std::string* member, std::vector<std::string_view> names)
    : names_(std::move(names)),
      get_([member] { return *member; }),
      set_([member, all = names_](std::size_t index) { *member = all[index]; }) {}

bool NamedMember::set(std::string_view text) const {
  const auto found = std::ranges::find(names_, text);
  if (found == names_.end()) return false;
  set_(index_of(names_, found));
  return true;
}

std::string text_of(const Member& member) {
  return std::visit(AsText(), member);
}

bool within(double value, std::string_view range) {
  return std::isfinite(value) && each_bound(range, [&](std::string_view sign, std::string_view text) {
           const double limit = parse_number(text).value();
           return sign == ">="   ? value >= limit
                  : sign == ">"  ? value > limit
                  : sign == "<=" ? value <= limit
                                 : value < limit;
         });
}

std::string in_words(std::string_view what, std::string_view range) {
  std::string text(what);
  std::string_view word = " ";
  each_bound(range, [&](std::string_view sign, std::string_view limit) {
    text += fmt::format("{}{} {}", word, sign, limit);
    word = " and ";
    return true;
  });
  return text;
}

void check_ranges(std::string_view section, const std::vector<Field>& fields) {
  for (const Field& field : fields) {
    const auto fail = [&](const std::string& expected) {
      throw Error(Exit::config, fmt::format("{}.{} = {}: expected {}", field.section.empty() ? section : field.section,
                                            field.name, text_of(field.member), expected));
    };
    if (const auto* choice = std::get_if<NamedMember>(&field.member);
        choice != nullptr && std::ranges::count(choice->names(), choice->text()) == 0)
      fail(fmt::format("one of {}", fmt::join(choice->names(), ", ")));
    const bool real =
        std::holds_alternative<double*>(field.member) || std::holds_alternative<std::optional<double>*>(field.member);
    if (const auto number = std::visit(AsNumber(), field.member); number && !within(*number, field.range))
      fail(in_words(real ? "a number" : "a whole number", field.range));
  }
}

}  // namespace polyhead
