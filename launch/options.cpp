// The values of options, with their origins: checks, reads, compares and writes them.
#include "launch/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/numbers.h"
#include "core/base/text.h"

namespace polyhead {
namespace {

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

// Whether an INI file can have a section of this name.
bool is_section(const std::string& name) {
  try {
    const IniFile ini = parse_ini(fmt::format("[{}]\nx = 1", name), "config.ini");
    return ini.entries.size() == 1 && ini.entries[0].section == name &&
           std::ranges::none_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

const Option& Config::option(const std::string& name) const {
  const Option* option = find_option(table_, name);
  if (option == nullptr) throw Error(Exit::internal, fmt::format("the program requested an unknown option '{}'", name));
  return *option;
}

std::string Config::text(const std::string& name) const {
  const Option& known = option(name);
  const auto found = values_.find(name);
  std::string value = found == values_.end() ? std::string(known.value) : found->second.value;
  if (value.empty() && known.type != OptionType::list) {
    const std::string written = known.alias.size() > 1 ? std::string(known.alias) : name;
    throw Error(known.section.empty() ? Exit::usage : Exit::config,
                fmt::format("--{} is missing: {}", written, known.help));
  }
  return value;
}

bool Config::has(const std::string& name) const {
  const Option& known = option(name);
  const auto found = values_.find(name);
  return found == values_.end() ? !known.value.empty() : !found->second.value.empty();
}

// set() has checked the values.
std::int64_t Config::integer(const std::string& name) const {
  return parse_integer(text(name)).value();
}

double Config::number(const std::string& name) const {
  return parse_number(text(name)).value();
}

std::vector<std::string> Config::list(const std::string& name) const {
  const std::string value = text(name);
  return value.empty() ? std::vector<std::string>{} : split(value, ',');
}

std::filesystem::path Config::path(const std::string& name) const {
  const std::filesystem::path value = text(name);
  const auto found = values_.find(name);
  const bool in_file = found != values_.end() && !found->second.folder.empty();
  return std::filesystem::absolute(in_file ? found->second.folder / value : value).lexically_normal();
}

std::uint64_t Config::bytes(const std::string& name) const {
  return static_cast<std::uint64_t>(parse_bytes(text(name)));
}

bool Config::flag(const std::string& name) const {
  return has(name) && text(name) == "true";
}

bool Config::knows(std::string_view section_and_key) const {
  return std::ranges::any_of(table_, [&](const Option& o) {
    return o.section.empty() ? o.key == section_and_key : fmt::format("{}.{}", o.section, o.key) == section_and_key;
  });
}

std::vector<std::string> Config::names_given() const {
  std::vector<std::string> names;
  for (const auto& [name, given] : values_) names.push_back(name);
  return names;
}

const Given* Config::given(const std::string& name) const {
  const auto found = values_.find(name);
  return found != values_.end() && found->second.by_person() ? &found->second : nullptr;
}

std::string Config::origin(const std::string& name) const {
  option(name);
  const auto found = values_.find(name);
  return found == values_.end() ? "default" : found->second.origin;
}

std::string Config::quote(const std::string& name) const {
  return fmt::format("{} = {} ({})", name, has(name) ? text(name) : "", origin(name));
}

void Config::set(const std::string& name, const Given& given) {
  const Option& known = option(name);
  if (!valid(known, given.value))
    throw Error(Exit::config,
                fmt::format("{}: {} is '{}', expected {}", given.origin, name, given.value, expectation(known)));
  values_[name] = given;
  if (known.section == "task") add_task(name.substr(5, name.rfind('.') - 5), given.origin);
}

void Config::add_task(const std::string& name, const std::string& origin) {
  if (std::ranges::none_of(tasks_, [&](const TaskMention& task) { return task.name == name; }))
    tasks_.push_back({name, origin});
}

void Config::take_sections(const Config& from, bool command_line_only) {
  if (!command_line_only)
    for (const auto& [task, origin] : from.tasks_) add_task(task, origin);
  for (const auto& [name, given] : from.values_)
    if (!from.option(name).section.empty() && (!command_line_only || given.origin == "command line")) set(name, given);
}

void Config::keep_tasks(const std::vector<std::string>& names) {
  std::vector<TaskMention> kept;
  for (const std::string& name : names) {
    const auto known = std::ranges::find(tasks_, name, &TaskMention::name);
    kept.push_back(known == tasks_.end() ? TaskMention{name, "data set"} : *known);
  }
  tasks_ = std::move(kept);
  std::erase_if(values_, [&](const auto& entry) {
    const std::string& name = entry.first;
    return name.starts_with("task.") && std::ranges::count(names, name.substr(5, name.rfind('.') - 5)) == 0;
  });
}

std::vector<std::string> Config::names(const std::vector<TaskMention>& tasks) const {
  std::vector<std::string> names;
  for (const Option& known : table_)
    if (!known.section.empty() && known.section != "task") names.push_back(long_name(known));
  for (const auto& [task, origin] : tasks)
    for (const Option& known : table_)
      if (known.section == "task") names.push_back(fmt::format("task.{}.{}", task, known.key));
  return names;
}

std::string Config::ini(bool annotated) const {
  for (const TaskMention& task : tasks_)
    if (!is_section(fmt::format("task.{}", task.name)))
      throw Error(Exit::config,
                  fmt::format("task '{}': a run's config.ini has a section [task.NAME] for each task and cannot hold "
                              "this name, which begins or ends with white space, or holds a line end or a comment's "
                              "'#' or ';'; rename it where the data set is imported, or in dataset.json and its shards",
                              task.name));
  std::string out, section;
  for (const std::string& name : names(tasks_)) {
    const std::size_t dot = name.starts_with("task.") ? name.rfind('.') : name.find('.');
    if (name.substr(0, dot) != section) {
      section = name.substr(0, dot);
      out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section);
    }
    if (!has(name)) continue;
    const std::string value = option(name).type == OptionType::path ? path(name).string() : text(name);
    const std::string line =
        fmt::format("{} = {}", name.substr(dot + 1), ini_value(value, fmt::format("{} ({})", name, origin(name))));
    out += annotated ? fmt::format("{:<40} # {}\n", line, origin(name)) : line + "\n";
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> Config::values() const {
  std::vector<std::pair<std::string, std::string>> values;
  const auto in_one_form = [](const Option& known, const Config& config, const std::string& name) -> std::string {
    switch (known.type) {
      case OptionType::number:
        return fmt::format("{}", config.number(name));
      case OptionType::integer:
        return fmt::format("{}", config.integer(name));
      case OptionType::bytes:
        return fmt::format("{}", config.bytes(name));
      case OptionType::path:
        return config.path(name).string();
      case OptionType::list:
        return join(config.list(name), ", ");
      default:
        return config.text(name);
    }
  };
  std::vector<std::string> all = names(tasks_);
  for (const Option& known : table_)
    if (known.section.empty()) all.emplace_back(known.key);
  const Config defaults(table_);
  for (const std::string& name : all) {
    const Option& known = option(name);
    if (!has(name)) continue;
    std::string value = in_one_form(known, *this, name);
    if (known.section == "task" && defaults.has(name) && in_one_form(known, defaults, name) == value) continue;
    values.emplace_back(name, std::move(value));
  }
  return values;
}

std::vector<std::string> Config::differences(const Config& here) const {
  Config both(*this);
  for (const TaskMention& task : here.tasks_) both.add_task(task.name, task.origin);
  std::vector<std::string> lines;
  for (const std::string& name : names(both.tasks_)) {
    const Option& known = option(name);
    if (!known.identity) continue;
    const auto shown = [&](const Config& config) -> std::string {
      if (!config.has(name)) return "not given";
      if (known.type == OptionType::path) return config.path(name).string();
      if (known.type == OptionType::list) return join(config.list(name), ", ");
      return config.text(name);
    };
    const bool number = known.type == OptionType::number || known.type == OptionType::integer;
    const bool same = number && has(name) && here.has(name) ? this->number(name) == here.number(name)
                      : known.type == OptionType::bytes && has(name) && here.has(name) ? bytes(name) == here.bytes(name)
                                                                                       : shown(*this) == shown(here);
    if (!same) lines.push_back(fmt::format("{}: {} there, {} here", name, shown(*this), shown(here)));
  }
  return lines;
}

}  // namespace polyhead
