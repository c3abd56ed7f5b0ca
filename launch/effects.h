// Options that have an effect only beside others, as their rows of the table say (Option::needs).
//
//   needs        = alternative { " or " alternative } [ " unless " VALUE ]     VALUE: as good as not given
//   alternative  = condition { " and " condition }
//   condition    = NAME ("=" VALUE { "|" VALUE } | "!=" VALUE | "~" PART)      or NAME alone: it is given
//
// NAME is a full name, "balance.method"; of the same task without a dot, "loss"; or "kind", that of the task's data.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/base/kind.h"
#include "launch/options.h"

namespace polyhead {

using TaskKinds = std::map<std::string, Kind>;  // by task; one that is missing may be of any kind

// "balance.method = static", for help texts.
std::string needs_in_words(const Option& option);

// Names of the values that a person gave, other than the default, which have no effect because what they need is not
// there.
std::vector<std::string> without_effect(const Config& config, const TaskKinds& kinds);

// Throws Error(config), or Error(usage) for an option without a section, naming one of them and what it needs.
[[noreturn]] void refuse_without_effect(const Config& config, const TaskKinds& kinds, const std::string& name);

// The same for the first of them, if there is one. Values that are the same in `before` are not refused; null: there is
// no such configuration.
void require_effects(const Config& config, const TaskKinds& kinds, const Config* before = nullptr);

}  // namespace polyhead
