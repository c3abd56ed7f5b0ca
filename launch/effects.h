// Conditions under which options have an effect, as given by Option::needs.
//
//   needs        = alternative { " or " alternative }
//   alternative  = condition { " and " condition }
//   condition    = NAME ("=" VALUE { "|" VALUE } | "!=" VALUE | "~" PART)      or NAME alone: it is given
//
// NAME is a full name, "balance.method"; a name without a dot for an option of the same task, "loss"; or "kind", the
// kind of the task's data. An option that only some kinds of task have has none on the others (Option::kinds).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/base/kind.h"
#include "launch/options.h"

namespace polyhead {

using TaskKinds = std::map<std::string, Kind>;  // by task; a task that is missing may be of any kind

// Returns "kind = regression and loss = huber", for help texts; "" if the option needs nothing.
std::string needs_in_words(const Option& option);

// Returns the names of values that the user gave, other than the default, that have no effect: the kind of the task
// does not have the option, or its condition is not met. A run's own config.ini has every option of every task at its
// default, so the default is accepted.
std::vector<std::string> without_effect(const Config& config, const TaskKinds& kinds);

// Throws Error(config), or Error(usage) for an option without a section, which names the option and what it needs.
// For an option that the kind of the task does not have, it names the task, its kind and the kinds that have it.
[[noreturn]] void refuse_without_effect(const Config& config, const TaskKinds& kinds, const std::string& name);

// The same for the first such value, if there is one. Values that are the same in `before` are accepted; before: may be
// null.
void require_effects(const Config& config, const TaskKinds& kinds, const Config* before = nullptr);

}  // namespace polyhead
