// Parses and evaluates the conditions of Option::needs.
#include "launch/effects.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/base/numbers.h"

namespace polyhead {
namespace {

std::vector<std::string> parts_of(std::string_view text, std::string_view separator) {
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

using Needs = std::vector<std::vector<Condition>>;  // alternatives

Needs parse_needs(std::string_view text) {
  Needs needs;
  if (text.empty()) return needs;
  for (const std::string& alternative : parts_of(text, " or ")) {
    auto& conditions = needs.emplace_back();
    for (const std::string& one : parts_of(alternative, " and ")) {
      const std::size_t at = std::min(one.find_first_of("!=~"), one.size());
      const std::size_t end = std::min(at < one.size() && one[at] == '!' ? at + 2 : at + 1, one.size());
      conditions.push_back({one.substr(0, at), one.substr(at, end - at), parts_of(one.substr(end), "|")});
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
  for (const auto& alternative : needs) {
    if (!text.empty()) text += ", or ";
    for (std::size_t i = 0; i < alternative.size(); ++i) text += (i == 0 ? "" : " and ") + words(alternative[i]);
  }
  return text;
}

std::string task_of(const std::string& name) {
  return name.substr(5, name.rfind('.') - 5);
}

// Returns the kind of a task whose options are known; nullopt if its kind is not known, and for a head that is not part
// of Polyhead, which may use all options.
std::optional<Kind> kind_of(const std::string& task, const Config& config, const TaskKinds& kinds) {
  const auto found = kinds.find(task);
  if (found == kinds.end()) return std::nullopt;
  const std::string head = "task." + task + ".head";
  if (config.knows("task.head") && config.has(head) && config.text(head) != name_of(found->second)) return std::nullopt;
  return found->second;
}

bool kind_has(const std::string& name, const Config& config, const TaskKinds& kinds) {
  const Option& option = config.option(name);
  if (option.kinds.empty()) return true;
  const auto kind = kind_of(task_of(name), config, kinds);
  return !kind || std::ranges::count(option.kinds, *kind) > 0;
}

std::vector<std::string_view> names_of(const std::vector<Kind>& kinds) {
  std::vector<std::string_view> names;
  for (const Kind kind : kinds) names.push_back(name_of(kind));
  return names;
}

// Throws Error(config) for an option that the kind of its task does not have.
[[noreturn]] void refuse_kind(const Config& config, const TaskKinds& kinds, const std::string& name) {
  const std::string task = task_of(name);
  const std::vector<Kind>& having = config.option(name).kinds;
  throw Error(Exit::config,
              fmt::format("{}: task {} is of the kind {}, which does not have this option; {} {} it. Leave {} out",
                          config.quote(name), task, name_of(kinds.at(task)), fmt::join(names_of(having), " and "),
                          having.size() == 1 ? "has" : "have", name));
}

bool holds(const Condition& condition, const std::string& of, const Config& config, const TaskKinds& kinds) {
  const auto among = [&](const std::string& value) {
    return std::ranges::any_of(condition.values, [&](const std::string& one) { return same_value(one, value); });
  };
  if (condition.name == "kind") {
    const auto kind = kind_of(task_of(of), config, kinds);
    return !kind || among(std::string(name_of(*kind))) == (condition.sign == "=");
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
  const std::string kind =
      option.kinds.empty() ? "" : fmt::format("kind = {}", fmt::join(names_of(option.kinds), " or "));
  if (option.needs.empty()) return kind;
  return (kind.empty() ? "" : kind + " and ") + in_words(parse_needs(option.needs), [&](const Condition& condition) {
           const bool bare = option.section.empty();  // written as on the command line
           return in_words(condition, bare ? "--" + condition.name : condition.name);
         });
}

std::vector<std::string> without_effect(const Config& config, const TaskKinds& kinds) {
  std::vector<std::string> names;
  for (const std::string& name : config.names_given()) {
    const Option& option = config.option(name);
    const Given* given = config.given(name);
    if (given == nullptr || given->value.empty() || same_value(given->value, option.value) ||
        same_value(given->value, option.idle))
      continue;
    const Needs needs = parse_needs(option.needs);
    const bool met = needs.empty() || std::ranges::any_of(needs, [&](const auto& conditions) {
                       return std::ranges::all_of(conditions, [&](const Condition& condition) {
                         return holds(condition, name, config, kinds);
                       });
                     });
    if (!met || !kind_has(name, config, kinds)) names.push_back(name);
  }
  return names;
}

void refuse_without_effect(const Config& config, const TaskKinds& kinds, const std::string& name) {
  if (!kind_has(name, config, kinds)) refuse_kind(config, kinds, name);
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
