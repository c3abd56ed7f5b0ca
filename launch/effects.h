// Conditions under which options have an effect, as given by Option::needs.
//
//   needs        = alternative { " or " alternative } [ " unless " VALUE ]
//   alternative  = condition { " and " condition }
//   condition    = NAME ("=" VALUE { "|" VALUE } | "!=" VALUE | "~" PART)      or NAME alone: it is given
//
// NAME is a full name, "balance.method"; a name without a dot for an option of the same task, "loss"; or "kind", the
// kind of the task's data. The value after "unless" counts as not given.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/base/kind.h"
#include "launch/options.h"

namespace polyhead {

using TaskKinds = std::map<std::string, Kind>;  // by task; a task that is missing may be of any kind

// Returns "balance.method = static", for help texts.
std::string needs_in_words(const Option& option);

// Returns the names of values that the user gave, other than the default, that have no effect because their condition
// is not met.
std::vector<std::string> without_effect(const Config& config, const TaskKinds& kinds);

// Throws Error(config), or Error(usage) for an option without a section, which names the option and what it needs.
[[noreturn]] void refuse_without_effect(const Config& config, const TaskKinds& kinds, const std::string& name);

// The same for the first such value, if there is one. Values that are the same in `before` are accepted; before: may be
// null.
void require_effects(const Config& config, const TaskKinds& kinds, const Config* before = nullptr);

}  // namespace polyhead
