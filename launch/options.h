// Options, declared once in a table: the command line, the INI file, --help, --print-config and a run's config.ini
// follow from it. Section [run], key steps in a file is --run.steps on the command line; the command line wins over the
// file, the file over the default.
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

namespace polyhead {

enum class OptionType { integer, number, text, choice, list, path, bytes, flag };

struct Option {
  std::string_view section;  // "run"; "task" for the keys of [task.NAME]; "" for what only the command line takes
  std::string_view key;
  OptionType type = OptionType::text;
  std::string_view value;         // the default; "": none
  std::string_view help;          // one sentence
  bool identity = false;          // a run resumes only with the same value
  std::string_view allowed = {};  // choice: "auto|never"; integer and number: bounds, ">=0,<1"
  std::string_view alias = {};    // a short name on the command line: "data" for --data, "c" for -c
  std::string_view needs = {};    // without which it has no effect (launch/effects.h); "": nothing
};

// What a value was given by: "default", "FILE:LINE", "command line", or what resolve() was told.
struct Given {
  std::string value;
  std::string origin;
  std::filesystem::path folder;  // that a relative path is relative to

  // A person gave it, on the command line or in a file.
  bool by_person() const { return origin == "command line" || !folder.empty(); }
};

// A task that the configuration speaks of, and where it does first.
struct TaskMention {
  std::string name, origin;
};

// The options' values. Names are "run.steps", "task.NAME.weight", or "json" for what only the command line takes. A
// name that is not in the table is a bug and throws Error(internal).
class Config {
 public:
  explicit Config(std::span<const Option> table) : table_(table) {}

  // Getters read the default where nothing is given; without a default they throw Error(config), so ask has() first.
  bool has(const std::string& name) const;  // there is a value, given or default
  std::int64_t integer(const std::string& name) const;
  double number(const std::string& name) const;
  std::string text(const std::string& name) const;  // of any type, as written
  std::vector<std::string> list(const std::string& name) const;
  std::filesystem::path path(const std::string& name) const;  // absolute
  std::uint64_t bytes(const std::string& name) const;
  bool flag(const std::string& name) const;
  std::string origin(const std::string& name) const;
  // "run.steps = 0 (quickstart.ini:3)", for error messages.
  std::string quote(const std::string& name) const;

  // Names of all values that are given or resolved, in alphabetical order.
  std::vector<std::string> names_given() const;
  // The value a person gave, on the command line or in a file; null where none did.
  const Given* given(const std::string& name) const;
  // The table's row of a name.
  const Option& option(const std::string& name) const;
  // Whether the table has an option of this section and key, "task.head", or of this key alone, "config".
  bool knows(std::string_view section_and_key) const;
  // Takes the value away, so that the default holds.
  void erase(const std::string& name) { values_.erase(name); }
  // What to say of the values in one line each, though they are good.
  const std::vector<std::string>& warnings() const { return warnings_; }
  void warn(const std::string& text) { warnings_.push_back(text); }

  // The [task.NAME] sections and --task.NAME options, in the order of their first mention.
  const std::vector<TaskMention>& tasks() const { return tasks_; }

  // Sets a value; checks it against the table (Error(config)).
  void set(const std::string& name, const Given& given);
  // Sets what the program worked out by itself.
  void resolve(const std::string& name, const std::string& value, const std::string& origin) {
    set(name, {value, origin, {}});
  }
  void add_task(const std::string& name, const std::string& origin);
  // Sets what stands in sections of `from`, whose table may have more; all of it, or what the command line gave.
  void take_sections(const Config& from, bool command_line_only);
  // Makes tasks() exactly these, in this order; values of others are dropped.
  void keep_tasks(const std::vector<std::string>& names);

  // All values of sections as an INI file, paths absolute; `annotated` adds where each came from. Throws Error(config)
  // for a value that an INI file cannot hold.
  std::string ini(bool annotated = false) const;
  // Names and values, numbers in one form ("1e-3" is 0.001) and paths absolute: of every option that has a value, of
  // tasks' options of those that differ from their default.
  std::vector<std::pair<std::string, std::string>> values() const;
  // One line for each identity key whose value differs: "run.seed: 1 there, 2 here".
  std::vector<std::string> differences(const Config& here) const;

 private:
  std::vector<std::string> names(const std::vector<TaskMention>& tasks) const;

  std::span<const Option> table_;
  std::map<std::string, Given> values_;
  std::vector<TaskMention> tasks_;
  std::vector<std::string> warnings_;
};

// Reads the command line (the words after the subcommand) and, where the table has the option `config` and it is given,
// that INI file. An unknown key of the file, a key given twice or a bad value: Error(config); an unknown option of the
// command line, a guessed prefix, a missing value or a stray word: Error(usage). `command` is the subcommand's name,
// for messages.
Config parse_options(std::string_view command, std::span<const Option> table, const std::vector<std::string>& words);
// An INI file alone.
Config read_config(std::span<const Option> table, const std::filesystem::path& file);
Config read_config(std::span<const Option> table, const IniFile& ini);

// The text of `polyhead COMMAND --help`: options by section, with kind, default and sentence.
std::string help_text(std::string_view command, std::string_view summary, std::span<const Option> table);

// "64MiB", "1GiB", "4096" to bytes; -1 for anything else.
std::int64_t parse_bytes(std::string_view text);

// The options of a training run; its sections are those of a configuration file.
std::span<const Option> train_options();

}  // namespace polyhead
