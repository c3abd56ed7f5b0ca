// Parses and evaluates the conditions of Option::needs.
#include "launch/effects.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/numbers.h"

namespace polyhead {
namespace {

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

struct Condition {
  std::string name, sign;  // sign: "", "=", "!=", "~"
  std::vector<std::string> values;
};

struct Needs {
  std::vector<std::vector<Condition>> alternatives;
  std::string unless;
};

Needs parse_needs(std::string_view text) {
  Needs needs;
  if (const std::size_t unless = text.find(" unless "); unless != std::string_view::npos) {
    needs.unless = text.substr(unless + 8);
    text = text.substr(0, unless);
  }
  for (const std::string& alternative : split(text, " or ")) {
    auto& conditions = needs.alternatives.emplace_back();
    for (const std::string& one : split(alternative, " and ")) {
      const std::size_t at = std::min(one.find_first_of("!=~"), one.size());
      const std::size_t end = std::min(at < one.size() && one[at] == '!' ? at + 2 : at + 1, one.size());
      conditions.push_back({one.substr(0, at), one.substr(at, end - at), split(one.substr(end), "|")});
    }
  }
  return needs;
}

// Returns the full name of the condition's option, for an option `of`: "loss" of "task.a.delta" is "task.a.loss".
std::string full_name(const Condition& condition, const std::string& of) {
  const bool of_the_task = of.starts_with("task.") && condition.name.find('.') == std::string::npos;
  return of_the_task ? of.substr(0, of.rfind('.') + 1) + condition.name : condition.name;
}

std::string in_words(const Condition& condition, const std::string& name) {
  if (condition.sign.empty()) return name;
  if (condition.sign == "!=")
    return fmt::format("{} {} {}", name, parse_number(condition.values[0]) ? "above" : "other than",
                       condition.values[0]);
  if (condition.sign == "~") return fmt::format("{} with {}", name, condition.values[0]);
  return fmt::format("{} = {}", name, fmt::join(condition.values, " or "));
}

template <class Words>
std::string in_words(const Needs& needs, Words words) {
  std::string text;
  for (const auto& alternative : needs.alternatives) {
    if (!text.empty()) text += ", or ";
    for (std::size_t i = 0; i < alternative.size(); ++i) text += (i == 0 ? "" : " and ") + words(alternative[i]);
  }
  return text;
}

// Numbers are compared by value.
bool same_value(const std::string& a, const std::string& b) {
  const auto x = parse_number(a), y = parse_number(b);
  return x && y ? *x == *y : a == b;
}

std::string task_of(const std::string& name) {
  return name.substr(5, name.rfind('.') - 5);
}

bool holds(const Condition& condition, const std::string& of, const Config& config, const TaskKinds& kinds) {
  const auto among = [&](const std::string& value) {
    return std::ranges::any_of(condition.values, [&](const std::string& one) { return same_value(one, value); });
  };
  if (condition.name == "kind") {
    const std::string task = task_of(of);
    const auto kind = kinds.find(task);
    // A head that is not part of Polyhead may use all options.
    const bool known = kind != kinds.end() && !(config.knows("task.head") && config.has("task." + task + ".head"));
    return !known || among(std::string(name_of(kind->second))) == (condition.sign == "=");
  }
  const std::string name = full_name(condition, of);
  const std::string value = config.has(name) ? config.text(name) : "";
  if (condition.sign.empty()) return !value.empty();
  if (condition.sign == "~") return value.find(condition.values[0]) != std::string::npos;
  if (condition.sign == "!=") return !value.empty() && !among(value);
  return among(value);
}

}  // namespace

std::string needs_in_words(const Option& option) {
  return in_words(parse_needs(option.needs), [&](const Condition& condition) {
    const bool bare = option.section.empty();  // written as on the command line
    return in_words(condition, bare ? "--" + condition.name : condition.name);
  });
}

std::vector<std::string> without_effect(const Config& config, const TaskKinds& kinds) {
  std::vector<std::string> names;
  for (const std::string& name : config.names_given()) {
    const Option& option = config.option(name);
    const Given* given = config.given(name);
    if (option.needs.empty() || given == nullptr || given->value.empty() ||
        same_value(given->value, std::string(option.value)))
      continue;
    const Needs needs = parse_needs(option.needs);
    if (!needs.unless.empty() && same_value(given->value, needs.unless)) continue;
    const bool effective = std::ranges::any_of(needs.alternatives, [&](const auto& conditions) {
      return std::ranges::all_of(conditions,
                                 [&](const Condition& condition) { return holds(condition, name, config, kinds); });
    });
    if (!effective) names.push_back(name);
  }
  return names;
}

void refuse_without_effect(const Config& config, const TaskKinds& kinds, const std::string& name) {
  const Option& option = config.option(name);
  const bool bare = option.section.empty();  // written as on the command line
  std::string found;
  const std::string needed = in_words(parse_needs(option.needs), [&](const Condition& condition) {
    const bool of_data = condition.name == "kind";
    const std::string other = of_data ? fmt::format("the kind of task {}", task_of(name)) : full_name(condition, name);
    if (!found.empty() || holds(condition, name, config, kinds))
      ;  // the first condition that does not hold is named
    else if (of_data)
      found = fmt::format("{} is {}", other, name_of(kinds.at(task_of(name))));
    else
      found = config.has(other)
                  ? "there is " + (bare ? fmt::format("--{} {}", other, config.text(other)) : config.quote(other))
                  : fmt::format("{} is not given", other);
    return in_words(condition, bare ? "--" + other : other);
  });
  const std::string shown = bare ? fmt::format("--{} {}", name, config.text(name)) : config.quote(name);
  throw Error(bare ? Exit::usage : Exit::config,
              fmt::format("{}: it has no effect without {}, but {}; give that too, or leave {} out", shown, needed,
                          found, bare ? "--" + name : name));
}

void require_effects(const Config& config, const TaskKinds& kinds, const Config* before) {
  for (const std::string& name : without_effect(config, kinds)) {
    const bool known = before != nullptr && before->has(name) && same_value(before->text(name), config.text(name));
    if (!known) refuse_without_effect(config, kinds, name);
  }
}

}  // namespace polyhead
