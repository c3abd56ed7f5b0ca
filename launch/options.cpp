// Reads options from the command line and INI files by their table, and writes them back.
#include "launch/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <optional>

#include "core/base/error.h"
#include "core/base/numbers.h"
#include "core/base/text.h"
#include "launch/effects.h"
#include "launch/nearest.h"
#include "launch/other_names.h"

namespace polyhead {
namespace {

namespace po = boost::program_options;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(trim(text.substr(0, end)));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

// "a number >= 0 and < 1"
std::string expectation(const Option& option) {
  const auto bounded = [&](std::string_view what) {
    std::string text(what);
    if (!option.allowed.empty())
      for (std::string_view word = " "; const std::string& bound : split(option.allowed, ',')) {
        const std::size_t digit = bound.find_first_not_of("<>=");
        text += fmt::format("{}{} {}", word, bound.substr(0, digit), bound.substr(digit));
        word = " and ";
      }
    return text;
  };
  switch (option.type) {
    case OptionType::integer:
      return bounded("a whole number");
    case OptionType::number:
      return bounded("a number");
    case OptionType::choice:
      return "one of " + join(split(option.allowed, '|'), ", ");
    case OptionType::list:
      return "names separated by commas";
    case OptionType::bytes:
      return "a size in bytes, as 4096, 512KiB, 64MiB or 1GiB";
    case OptionType::flag:
      return "true or false";
    case OptionType::path:
      return "a path";
    case OptionType::text:
      break;
  }
  return "a text";
}

bool within(double value, std::string_view bounds) {
  if (bounds.empty()) return true;
  return std::ranges::all_of(split(bounds, ','), [&](const std::string& bound) {
    const std::size_t digit = bound.find_first_not_of("<>=");
    const std::string sign = bound.substr(0, digit);
    const double limit = parse_number(bound.substr(digit)).value();
    return sign == ">=" ? value >= limit : sign == ">" ? value > limit : sign == "<=" ? value <= limit : value < limit;
  });
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

// Returns the option with this name; null if the table does not have it.
const Option* find(std::span<const Option> table, std::string_view name) {
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

// Options without a section are written with '-' on the command line.
std::string long_name(const Option& option) {
  return option.section.empty() ? std::string(option.key) : fmt::format("{}.{}", option.section, option.key);
}

std::vector<std::string> keys_of(std::span<const Option> table, std::string_view section) {
  std::vector<std::string> keys;
  for (const Option& option : table)
    if (option.section == section) keys.emplace_back(option.key);
  return keys;
}

// A comment begins at ' #' or ' ;' and cuts a value there, although a path or a text may contain these characters.
void look_at_cut(Config& config, const Option& option, const IniEntry& entry, const std::string& origin,
                 const std::filesystem::path& folder) {
  using enum OptionType;
  if (entry.whole.empty() || (option.type != path && option.type != text && option.type != list)) return;
  const std::string comment(trim(std::string_view(entry.whole).substr(entry.value.size())));
  const std::string said = fmt::format("{}: '{}' is cut to '{}', as '{}' after white space begins a comment", origin,
                                       entry.whole, entry.value, comment.front());
  const std::string cure = fmt::format("write {} = {}", entry.key, ini_value(entry.whole, origin));
  std::error_code code;
  if (std::filesystem::exists(folder / entry.whole, code))
    throw Error(Exit::config,
                fmt::format("{}, but {} is there; put it in quotes: {}", said, (folder / entry.whole).string(), cure));
  const bool worded = comment.size() == 1 || comment[1] == ' ' || comment[1] == '\t' || comment[1] == comment[0];
  const bool path_like = option.type == path && comment.find('/') != std::string::npos;
  if (!worded || (path_like && !std::filesystem::exists(folder / entry.value, code)))
    config.warn(fmt::format("{}; if it belongs to the value, put that in quotes: {}", said, cure));
}

// If the file is for another command, returns what it is and what to do with it; otherwise "". It is recognised by its
// sections and keys.
std::string file_of_another_command(std::span<const Option> table, const std::filesystem::path& file,
                                    const IniFile& ini) {
  const auto known = [&](std::string_view section) {
    return std::ranges::any_of(table, [&](const Option& option) { return option.section == section; });
  };
  const auto there = [&](std::string_view section) {
    return std::ranges::any_of(ini.sections, [&](const IniSection& s) { return s.name == section; });
  };
  const bool imports = there("dataset") || std::ranges::any_of(ini.entries, [](const IniEntry& entry) {
                         return entry.section.starts_with("task.") && (entry.key == "kind" || entry.key == "train");
                       });
  if (imports && !known("dataset"))
    return fmt::format(
        "this file is an import description; make a data set of it with 'polyhead import -c {} --out "
        "DATA', then train on that with 'polyhead train --data DATA --run-dir RUN'",
        file.string());
  for (const char* section : {"run", "encoder", "optimizer", "mixture"})
    if (there(section) && !known(section) && known("dataset"))
      return "this file configures a training; give it to 'polyhead train -c', and give import a file with [dataset] "
             "and [task.NAME] sections";
  return "";
}

void take_file(Config& config, std::span<const Option> table, const IniFile& ini) {
  const std::filesystem::path& file = ini.file;
  const std::filesystem::path folder = std::filesystem::absolute(file).parent_path();
  const auto fail = [&](int line, const std::string& what) {
    throw Error(Exit::config, fmt::format("{}:{}: {}", file.string(), line, what));
  };
  std::vector<std::string> sections;
  for (const Option& option : table)
    if (!option.section.empty() && option.section != "task" &&
        std::ranges::count(sections, fmt::format("[{}]", option.section)) == 0)
      sections.push_back(fmt::format("[{}]", option.section));
  const bool has_tasks = !keys_of(table, "task").empty();
  const std::string another = file_of_another_command(table, file, ini);
  for (const IniSection& section : ini.sections) {
    if (has_tasks && section.name.starts_with("task.") && section.name.size() > 5) {
      config.add_task(section.name.substr(5), fmt::format("{}:{}", file.string(), section.line));
      continue;
    }
    const std::string bracketed = fmt::format("[{}]", section.name);
    if (std::ranges::count(sections, bracketed) > 0) continue;
    if (!another.empty()) fail(section.line, fmt::format("there is no section {} here: {}", bracketed, another));
    std::string known = join(sections, ", ");
    if (has_tasks) known += ", [task.NAME]";
    fail(section.line, fmt::format("there is no section {}{}; the sections are {}", bracketed,
                                   did_you_mean(bracketed, sections), known));
  }
  for (const IniEntry& entry : ini.entries) {
    const std::string name = entry.section + "." + entry.key;
    if (entry.key.find('.') != std::string::npos || find(table, name) == nullptr) {
      if (!another.empty()) fail(entry.line, fmt::format("there is no key '{}' here: {}", entry.key, another));
      const auto keys = keys_of(table, entry.section.starts_with("task.") ? "task" : entry.section);
      std::string hint = did_you_mean(entry.key, keys);
      if (hint.empty()) hint = hint_of_other_name(entry.key, table);
      fail(entry.line,
           fmt::format("[{}] has no key '{}'{}; its keys are {}", entry.section, entry.key, hint, join(keys, ", ")));
    }
    const std::string origin = fmt::format("{}:{}", file.string(), entry.line);
    look_at_cut(config, config.option(name), entry, origin, folder);
    config.set(name, {entry.value, origin, folder});
  }
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

[[noreturn]] void fail_unknown(std::string_view command, std::span<const Option> table, const std::string& word) {
  const std::string name = word.substr(std::min(word.find_first_not_of('-'), word.size()));
  std::vector<std::string> candidates;
  for (const Option& option : table) {
    if (option.section == "task") {
      if (!name.starts_with("task.") || name.rfind('.') <= 5) continue;
      candidates.push_back(fmt::format("--{}.{}", name.substr(0, name.rfind('.')), option.key));
    } else {
      candidates.push_back("--" + long_name(option));
      if (option.alias.size() > 1) candidates.push_back(fmt::format("--{}", option.alias));
    }
  }
  candidates.emplace_back("--help");
  std::string hint = hint_of_other_name(name, table);
  for (const Option& option : table)  // --steps for --run.steps
    if (hint.empty() && option.key == name && !option.section.empty())
      hint = fmt::format(" (did you mean --{}{}.{}?)", option.section, option.section == "task" ? ".NAME" : "",
                         option.key);
  if (hint.empty()) hint = did_you_mean("--" + name, candidates);
  throw Error(Exit::usage,
              fmt::format("there is no option {}{}; 'polyhead {} --help' lists the options", word, hint, command));
}

}  // namespace

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

const Option& Config::option(const std::string& name) const {
  const Option* option = find(table_, name);
  if (option == nullptr) throw Error(Exit::internal, fmt::format("the program asked for an unknown option '{}'", name));
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

Config parse_options(std::string_view command, std::span<const Option> table, const std::vector<std::string>& words) {
  po::options_description description;
  std::map<std::string, std::string> full;  // name on the command line -> full name
  const auto add = [&](const Option& option, const std::string& spelled, const std::string& name) {
    if (!full.try_emplace(spelled, name).second) return;
    const bool bare = option.type == OptionType::flag && option.section.empty();
    const std::string letter = option.alias.size() == 1 ? fmt::format(",{}", option.alias) : "";
    description.add_options()((spelled + letter).c_str(), new po::untyped_value(bare));
  };
  for (const Option& option : table) {
    if (option.section == "task") continue;
    add(option, long_name(option), long_name(option));
    if (option.alias.size() > 1) add(option, std::string(option.alias), long_name(option));
  }
  for (const std::string& word : words)  // names of tasks are not known in advance
    if (word.starts_with("--task.")) {
      const std::string name = word.substr(2, word.find('=') - 2);
      const Option* option = find(table, name);
      if (option == nullptr) fail_unknown(command, table, "--" + name);
      add(*option, name, name);
    }
  std::vector<po::option> parsed;
  const auto fail_missing = [&](const std::string& option, const std::string& next) {
    throw Error(
        Exit::usage,
        fmt::format("{} has no value{}; options are written --name VALUE, or --name=VALUE where the value begins "
                    "with '--'; 'polyhead {} --help' lists them",
                    option, next.empty() ? "" : fmt::format(", as '{}' follows it", next), command));
  };
  try {
    const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    parsed = po::command_line_parser(words).options(description).style(style).run().options;
  } catch (const po::unknown_option& error) {
    fail_unknown(command, table, error.get_option_name());
  } catch (const po::invalid_command_line_syntax& error) {
    if (error.kind() == po::invalid_syntax::missing_parameter) {
      std::string name = error.get_option_name();
      // Boost names the option in its long form, although it may have been written in its short form.
      if (std::ranges::count(words, name) == 0 && words.back().starts_with('-')) name = words.back();
      const auto at = std::ranges::find(words, name);
      fail_missing(name, at == words.end() || at + 1 == words.end() ? "" : *(at + 1));
    }
    throw Error(Exit::usage, fmt::format("{}; 'polyhead {} --help' lists the options", error.what(), command));
  } catch (const po::error& error) {
    throw Error(Exit::usage, fmt::format("{}; options are written --name VALUE, 'polyhead {} --help' lists them",
                                         error.what(), command));
  }
  Config config(table);
  std::map<std::string, std::string> given;
  for (const po::option& option : parsed) {
    if (option.position_key >= 0)
      throw Error(Exit::usage,
                  fmt::format("unexpected word '{}'; options are written --name VALUE, 'polyhead {} --help' lists them",
                              option.value.empty() ? "" : option.value[0], command));
    if (option.original_tokens.size() == 2 && option.original_tokens[1].starts_with("--"))
      fail_missing(option.original_tokens[0], option.original_tokens[1]);
    const std::string& name = full.at(option.string_key);
    if (!given.try_emplace(name, option.value.empty() ? "true" : option.value[0]).second)
      throw Error(Exit::config,
                  fmt::format("--{} is given twice on the command line; keep one of them", option.string_key));
  }
  if (const auto file = given.find("config"); file != given.end()) take_file(config, table, read_ini(file->second));
  for (const auto& [name, value] : given) config.set(name, {value, "command line", {}});
  return config;
}

Config read_config(std::span<const Option> table, const std::filesystem::path& file) {
  return read_config(table, read_ini(file));
}

Config read_config(std::span<const Option> table, const IniFile& ini) {
  Config config(table);
  take_file(config, table, ini);
  return config;
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
    if (option.type == OptionType::choice) right += fmt::format(" One of {}.", join(split(option.allowed, '|'), ", "));
    if (!option.needs.empty()) right += fmt::format(" Needs {}.", needs_in_words(option));
    if (!option.value.empty()) right += fmt::format(" [{}]", option.value);
    out += left.size() < 34 ? fmt::format("{:<34} {}\n", left, right) : fmt::format("{}\n{:<34} {}\n", left, "", right);
  }
  return out;
}

}  // namespace polyhead
