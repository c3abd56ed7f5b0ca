// The table of options: a row for each option of a command. Rows come from the declarations of structs
// (core/base/field.h); options that only a command itself reads have rows of their own.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/field.h"

namespace polyhead {

enum class OptionType { integer, number, text, choice, list, path, bytes, flag };

struct Option {
  std::string_view section = {};  // "run"; "task" for keys of [task.NAME]; "" for options of the command line only
  std::string_view key;
  OptionType type = OptionType::text;
  std::string value = {};        // the default; "": none
  std::string_view help;         // one or more sentences
  bool identity = false;         // whether a run can only be resumed with the same value
  std::string allowed = {};      // choice: "auto|never"; integer and number: bounds, ">=0,<1"
  std::string_view alias = {};   // another name on the command line: "data" for --data, "c" for -c
  std::vector<Kind> kinds = {};  // the kinds of task that have it; empty: all
  std::string_view needs = {};   // condition without which it has no effect (launch/effects.h); "": none
  bool by_command = false;       // of `config`: the command reads the file itself, which may have options of others
  std::string idle = {};         // a value that is accepted although the option has no effect; by default, the default
};

// Adds a row for each field. Its place is after the option that it names, or at the end of its section.
void add_rows(std::vector<Option>& table, std::string_view section, const std::vector<Field>& fields);

// Returns the option with this name, such as "run.steps", "task.NAME.weight" or "json"; null if there is none.
const Option* find_option(std::span<const Option> table, std::string_view name);
// Returns "run.steps", or the key of an option without a section.
std::string long_name(const Option& option);
std::vector<std::string> keys_of(std::span<const Option> table, std::string_view section);

// Whether a text is a value of this option.
bool valid(const Option& option, const std::string& value);
// Returns what is expected, such as "a number >= 0 and < 1".
std::string expectation(const Option& option);

// Converts "64MiB", "1GiB" or "4096" to bytes; returns -1 for anything else.
std::int64_t parse_bytes(std::string_view text);
// Returns the parts of a text between separators, without white space around them.
std::vector<std::string> split(std::string_view text, char separator);

// Returns the text of `polyhead COMMAND --help`: the options by section with their help, allowed values, conditions and
// defaults.
std::string help_text(std::string_view command, std::string_view summary, std::span<const Option> table);

}  // namespace polyhead
