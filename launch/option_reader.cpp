// Reads options from the command line and from INI files.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/program_options.hpp>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/text.h"
#include "launch/options.h"
#include "launch/other_names.h"

namespace polyhead {
namespace {

namespace po = boost::program_options;

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
        "this file is an import description; create a data set from it with 'polyhead import -c {} --out "
        "DATA', then train on that with 'polyhead train --data DATA --run-dir RUN'",
        file.string());
  for (const char* section : {"run", "encoder", "optimizer", "mixture"})
    if (there(section) && !known(section) && known("dataset"))
      return "this file configures a training run; use it with 'polyhead train -c', and give import a file with "
             "[dataset] "
             "and [task.NAME] sections";
  return "";
}

void read_file_into(Config& config, std::span<const Option> table, const IniFile& ini) {
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
    std::string known = fmt::format("{}", fmt::join(sections, ", "));
    if (has_tasks) known += ", [task.NAME]";
    fail(section.line, fmt::format("there is no section {}{}; the sections are {}", bracketed,
                                   did_you_mean(bracketed, sections), known));
  }
  for (const IniEntry& entry : ini.entries) {
    const std::string name = entry.section + "." + entry.key;
    if (entry.key.find('.') != std::string::npos || find_option(table, name) == nullptr) {
      if (!another.empty()) fail(entry.line, fmt::format("there is no key '{}' here: {}", entry.key, another));
      const auto keys = keys_of(table, entry.section.starts_with("task.") ? "task" : entry.section);
      std::string hint = did_you_mean(entry.key, keys);
      if (hint.empty()) hint = hint_of_other_name(entry.key, table);
      fail(entry.line, fmt::format("[{}] has no key '{}'{}; its keys are {}", entry.section, entry.key, hint,
                                   fmt::join(keys, ", ")));
    }
    const std::string origin = fmt::format("{}:{}", file.string(), entry.line);
    look_at_cut(config, config.option(name), entry, origin, folder);
    config.set(name, {entry.value, origin, folder});
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
  for (const Option& option : table)  // --steps for --run.steps, --run_dir for --run-dir
    if (hint.empty() && option.key == name && !option.section.empty())
      hint = option.alias.size() > 1 ? fmt::format(" (did you mean --{}?)", option.alias)
                                     : fmt::format(" (did you mean --{}{}.{}?)", option.section,
                                                   option.section == "task" ? ".NAME" : "", option.key);
  if (hint.empty()) hint = did_you_mean("--" + name, candidates);
  throw Error(Exit::usage,
              fmt::format("there is no option {}{}; 'polyhead {} --help' lists the options", word, hint, command));
}

}  // namespace

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
      const Option* option = find_option(table, name);
      if (option == nullptr) fail_unknown(command, table, "--" + name);
      add(*option, name, name);
    }
  std::vector<po::option> parsed;
  const auto fail_missing = [&](const std::string& option, const std::string& next) {
    throw Error(Exit::usage,
                fmt::format("{} has no value{}; options are written --name VALUE, or --name=VALUE if the value begins "
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
  if (const auto file = given.find("config"); file != given.end() && !config.option("config").by_command)
    read_file_into(config, table, read_ini(file->second));
  for (const auto& [name, value] : given) config.set(name, {value, "command line", {}});
  return config;
}

Config read_config(std::span<const Option> table, const std::filesystem::path& file) {
  return read_config(table, read_ini(file));
}

Config read_config(std::span<const Option> table, const IniFile& ini) {
  Config config(table);
  read_file_into(config, table, ini);
  return config;
}

}  // namespace polyhead
