// Declares the options of a struct. A function `fields(Struct&)` next to the struct lists its options, each with all
// that is known about it. The table of options, help texts, config.ini, the copy into structs, the JSON of checkpoints
// and the checks of ranges all read these lists.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "core/base/choice.h"
#include "core/base/kind.h"

namespace polyhead {

// A member that has one of a few values, each with a name.
class NamedMember {
 public:
  template <Choice Enum>
  NamedMember(Enum* member)
      : names_(names_of<Enum>()),
        get_([member] { return std::string(name_of(*member)); }),
        set_([member](std::size_t index) { *member = static_cast<Enum>(index); }) {}
  // The names of false and true.
  NamedMember(bool* member, std::string_view no, std::string_view yes);
  // The values that a text may have.
  NamedMember(std::string* member, std::vector<std::string_view> names);

  const std::vector<std::string_view>& names() const { return names_; }
  std::string text() const { return get_(); }
  // Returns false, and changes nothing, for a text that is none of the names.
  bool set(std::string_view text) const;

 private:
  template <Choice Enum>
  static std::vector<std::string_view> names_of() {
    const auto names = choices(Enum{});
    return {names.begin(), names.end()};
  }

  std::vector<std::string_view> names_;
  std::function<std::string()> get_;
  std::function<void(std::size_t)> set_;
};

// A member of a struct, which an option sets. An optional member has no value unless the option is given.
using Member = std::variant<NamedMember, std::int64_t*, std::uint64_t*, int*, double*, std::optional<std::int64_t>*,
                            std::optional<double>*, std::string*, std::filesystem::path*, std::vector<std::string>*,
                            std::vector<int>*, std::map<std::string, std::string>*>;

// One option of a struct.
struct Field {
  std::string_view name;             // the key in a configuration
  Member member;                     // its value in a new struct is the default
  std::string_view help;             // one or more sentences
  std::string_view range = {};       // of a number: ">=0,<1"
  bool identity = true;              // whether a run can only be resumed with the same value
  std::vector<Kind> kinds = {};      // of a task's option: the kinds that have it; empty: all
  std::string_view needs = {};       // condition without which it has no effect (launch/effects.h); "": none
  std::string_view alias = {};       // another name on the command line
  bool resolved = false;             // the default depends on other options or on data, so none is shown
  std::string_view section = {};     // of the configuration, if it differs from the section of the struct
  std::string_view after = {};       // the option of this section that it follows; "": the end of the section
  std::string_view stored = {};      // the name in a stored description of a model, if it differs
  std::int64_t largest = 1'000'000;  // whole numbers: a stored description of a model with more is damaged
};

// Returns the value as a configuration file would have it: "0.1", "5e-4", "hard"; "" for no value.
std::string text_of(const Member& member);

// Whether a number satisfies bounds such as ">=0,<1". Infinity and NaN satisfy none.
bool within(double value, std::string_view range);
// Returns "a whole number >= 1" for the words "a whole number" and the range ">=1".
std::string in_words(std::string_view what, std::string_view range);

// Throws Error(config) for a number outside its range and a text that is none of its choices. section: for the message,
// such as "encoder".
void check_ranges(std::string_view section, const std::vector<Field>& fields);

// The same for a constant struct.
template <class Options>
void check_ranges(std::string_view section, const Options& options) {
  Options copy = options;
  check_ranges(section, fields(copy));
}

}  // namespace polyhead
