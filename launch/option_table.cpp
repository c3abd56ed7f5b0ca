// Creates the rows of options, checks values against them, and writes help texts.
#include "launch/option_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/base/numbers.h"
#include "core/base/text.h"
#include "launch/effects.h"
#include "launch/ini.h"

namespace polyhead {
namespace {

// Returns the type of an option for the type of its member.
struct TypeOf {
  OptionType operator()(const NamedMember&) const { return OptionType::choice; }
  OptionType operator()(const double*) const { return OptionType::number; }
  OptionType operator()(const std::optional<double>*) const { return OptionType::number; }
  OptionType operator()(const std::string*) const { return OptionType::text; }
  OptionType operator()(const std::filesystem::path*) const { return OptionType::path; }
  OptionType operator()(const std::map<std::string, std::string>*) const { return OptionType::list; }
  template <class Element>
  OptionType operator()(const std::vector<Element>*) const {
    return OptionType::list;
  }
  template <class Integer>
  OptionType operator()(const Integer*) const {
    return OptionType::integer;
  }
};

}  // namespace

void add_rows(std::vector<Option>& table, std::string_view section, const std::vector<Field>& fields) {
  for (const Field& field : fields) {
    Option row{.section = field.section.empty() ? section : field.section,
               .key = field.name,
               .type = std::visit(TypeOf(), field.member),
               .help = field.help,
               .identity = field.identity,
               .allowed = std::string(field.range),
               .alias = field.alias,
               .kinds = field.kinds,
               .needs = field.needs};
    if (!field.resolved) row.value = text_of(field.member);
    if (row.type == OptionType::integer || row.type == OptionType::number) row.idle = text_of(field.member);
    if (const auto* choice = std::get_if<NamedMember>(&field.member))
      row.allowed = fmt::format("{}", fmt::join(choice->names(), "|"));
    const auto before = std::find_if(table.rbegin(), table.rend(), [&](const Option& other) {
      return other.section == row.section && (field.after.empty() || other.key == field.after);
    });
    if (before == table.rend() && !field.after.empty())
      throw Error(Exit::internal,
                  fmt::format("option {} follows {}, which is not in the table", field.name, field.after));
    table.insert(before == table.rend() ? table.end() : before.base(), std::move(row));
  }
}

const Option* find_option(std::span<const Option> table, std::string_view name) {
  std::string_view section, key = name;
  if (name.starts_with("task.") && name.rfind('.') > 5) {
    section = "task";
    key = name.substr(name.rfind('.') + 1);
  } else if (const std::size_t dot = name.find('.'); dot != std::string_view::npos) {
    section = name.substr(0, dot);
    key = name.substr(dot + 1);
    if (section == "task") return nullptr;
  }
  const auto found = std::ranges::find_if(table, [&](const Option& o) { return o.section == section && o.key == key; });
  return found == table.end() ? nullptr : &*found;
}

std::string long_name(const Option& option) {
  return option.section.empty() ? std::string(option.key) : fmt::format("{}.{}", option.section, option.key);
}

std::vector<std::string> keys_of(std::span<const Option> table, std::string_view section) {
  std::vector<std::string> keys;
  for (const Option& option : table)
    if (option.section == section) keys.emplace_back(option.key);
  return keys;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(trim(text.substr(0, end)));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string expectation(const Option& option) {
  switch (option.type) {
    case OptionType::integer:
      return in_words("a whole number", option.allowed);
    case OptionType::number:
      return in_words("a number", option.allowed);
    case OptionType::choice:
      return fmt::format("one of {}", fmt::join(split(option.allowed, '|'), ", "));
    case OptionType::list:
      return "names separated by commas";
    case OptionType::bytes:
      return "a size in bytes, such as 4096, 512KiB, 64MiB or 1GiB";
    case OptionType::flag:
      return "true or false";
    case OptionType::path:
      return "a path";
    case OptionType::text:
      break;
  }
  return "a text";
}

bool valid(const Option& option, const std::string& value) {
  if (value.empty()) return option.value.empty();  // without a default, "key =" is the same as no line
  switch (option.type) {
    case OptionType::integer: {
      const auto number = parse_integer(value);
      return number && within(static_cast<double>(*number), option.allowed);
    }
    case OptionType::number: {
      const auto number = parse_number(value);
      return number && within(*number, option.allowed);
    }
    case OptionType::choice:
      return std::ranges::count(split(option.allowed, '|'), value) > 0;
    case OptionType::list:
      return std::ranges::count(split(value, ','), "") == 0;
    case OptionType::bytes:
      return parse_bytes(value) > 0;
    case OptionType::flag:
      return value == "true" || value == "false";
    case OptionType::path:
    case OptionType::text:
      break;
  }
  return true;
}

std::int64_t parse_bytes(std::string_view text) {
  int shift = 0;
  for (int power = 1; const std::string_view unit : {"KiB", "MiB", "GiB"}) {
    if (text.ends_with(unit)) {
      text = trim(text.substr(0, text.size() - unit.size()));
      shift = 10 * power;
      break;
    }
    ++power;
  }
  const auto number = parse_integer(text);
  if (!number || *number < 0 || *number > (INT64_MAX >> shift)) return -1;
  return *number << shift;
}

std::string help_text(std::string_view command, std::string_view summary, std::span<const Option> table) {
  std::string out = fmt::format("polyhead {}: {}\n", command, summary);
  std::optional<std::string_view> section;
  for (const Option& option : table) {
    if (section != option.section) {
      section = option.section;
      out += section->empty() ? "\n" : fmt::format("\n[{}{}]\n", *section, *section == "task" ? ".NAME" : "");
    }
    std::string left = fmt::format("  --{}{}{}", option.section, option.section == "task" ? ".NAME" : "",
                                   option.section.empty() ? "" : ".");
    left += option.key;
    if (!option.alias.empty()) left += fmt::format(", {}{}", option.alias.size() == 1 ? "-" : "--", option.alias);
    std::string right(option.help);
    if (option.type == OptionType::choice)
      right += fmt::format(" One of {}.", fmt::join(split(option.allowed, '|'), ", "));
    if (const std::string needs = needs_in_words(option); !needs.empty()) right += fmt::format(" Needs {}.", needs);
    if (!option.value.empty()) right += fmt::format(" [{}]", option.value);
    out += left.size() < 34 ? fmt::format("{:<34} {}\n", left, right) : fmt::format("{}\n{:<34} {}\n", left, "", right);
  }
  return out;
}

}  // namespace polyhead
