// The values of options. The command line, the INI file, --help, --print-config and a run's config.ini follow from the
// table of options (launch/option_table.h). Section [run], key steps in a file is --run.steps on the command line. The
// command line overrides the file, and the file overrides the default.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launch/ini.h"
#include "launch/option_table.h"
#include "launch/train_options.h"

namespace polyhead {

// A value, and where it came from: "default", "FILE:LINE", "command line", or the origin passed to resolve().
struct Given {
  std::string value;
  std::string origin;
  std::filesystem::path folder;  // base of a relative path

  // Whether the user gave it, on the command line or in a file.
  bool by_person() const { return origin == "command line" || !folder.empty(); }
};

// A task that the configuration mentions, and where it is mentioned first.
struct TaskMention {
  std::string name, origin;
};

// The values of the options. Names are "run.steps", "task.NAME.weight", or "json" for an option of the command line
// only. A name that is not in the table is a bug and throws Error(internal).
class Config {
 public:
  explicit Config(std::span<const Option> table) : table_(table) {}

  // Getters return the default if no value is given. Without a default they throw Error(config), or Error(usage) for an
  // option of the command line only, so call has() first.
  bool has(const std::string& name) const;  // whether there is a value, given or default
  std::int64_t integer(const std::string& name) const;
  double number(const std::string& name) const;
  std::string text(const std::string& name) const;  // of any type, in its original form
  std::vector<std::string> list(const std::string& name) const;
  std::filesystem::path path(const std::string& name) const;  // absolute
  std::uint64_t bytes(const std::string& name) const;
  bool flag(const std::string& name) const;
  std::string origin(const std::string& name) const;
  // Returns "run.steps = 0 (quickstart.ini:3)", for error messages.
  std::string quote(const std::string& name) const;

  // Returns the names of all values that are given or resolved, in alphabetical order.
  std::vector<std::string> names_given() const;
  // Returns the value that the user gave, on the command line or in a file; null if there is none.
  const Given* given(const std::string& name) const;
  // Returns the row of the table for a name.
  const Option& option(const std::string& name) const;
  // Whether the table has an option with this section and key, such as "task.head", or only this key, such as "config".
  bool knows(std::string_view section_and_key) const;
  // Removes a value, so that the default applies.
  void erase(const std::string& name) { values_.erase(name); }
  // Warnings about valid values, one line each.
  const std::vector<std::string>& warnings() const { return warnings_; }
  void warn(const std::string& text) { warnings_.push_back(text); }

  // The tasks of [task.NAME] sections and --task.NAME options, in the order of their first mention.
  const std::vector<TaskMention>& tasks() const { return tasks_; }

  // Sets a value and checks it against the table (Error(config)).
  void set(const std::string& name, const Given& given);
  // Sets a value that the program has determined itself.
  void resolve(const std::string& name, const std::string& value, const std::string& origin) {
    set(name, {value, origin, {}});
  }
  void add_task(const std::string& name, const std::string& origin);
  // Copies the values of sections from `from`, whose table may have more options: all of them, or only those from the
  // command line.
  void take_sections(const Config& from, bool command_line_only);
  // Sets tasks() to exactly these names in this order, and removes the values of other tasks.
  void keep_tasks(const std::vector<std::string>& names);

  // Returns the values of all sections as an INI file, with absolute paths. `annotated` adds where each value came
  // from. Throws Error(config) for a value that an INI file cannot hold.
  std::string ini(bool annotated = false) const;
  // Returns names and values, with numbers in a uniform format ("1e-3" becomes 0.001) and absolute paths. It has every
  // option with a value; options of tasks only if they differ from their default.
  std::vector<std::pair<std::string, std::string>> values() const;
  // Returns one line for each identity key whose value differs: "run.seed: 1 there, 2 here".
  std::vector<std::string> differences(const Config& here) const;

 private:
  std::vector<std::string> names(const std::vector<TaskMention>& tasks) const;

  std::span<const Option> table_;
  std::map<std::string, Given> values_;
  std::vector<TaskMention> tasks_;
  std::vector<std::string> warnings_;
};

// Sets the members of a struct to the values of its options in `section`, which is "task.NAME" for those of a task. A
// member whose option has no value does not change. Throws Error(config) for a list that cannot be read.
void read_fields(const Config& config, std::string_view section, const std::vector<Field>& fields);
template <class Options>
void read_into(Options& options, const Config& config, std::string_view section) {
  read_fields(config, section, fields(options));
}

// Reads the command line (the words after the subcommand) and, if the table has the option `config` and it is given,
// that INI file, unless the command reads it itself (Option::by_command). command: name of the subcommand, for
// messages.
// - Throws Error(config) for an unknown key in the file, a duplicate key and an invalid value.
// - Throws Error(usage) for an unknown option on the command line, an abbreviated option, a missing value and an
//   unexpected word.
Config parse_options(std::string_view command, std::span<const Option> table, const std::vector<std::string>& words);
// Reads only an INI file.
Config read_config(std::span<const Option> table, const std::filesystem::path& file);
Config read_config(std::span<const Option> table, const IniFile& ini);

}  // namespace polyhead
