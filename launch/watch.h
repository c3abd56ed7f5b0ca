// The watchdog of a training run, started before MPI from what the launcher's environment tells.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "distributed/watchdog/watchdog.h"
#include "launch/program.h"

namespace polyhead {

// `words`: the command line, the command's name first. Null for commands other than train, with both timeouts 0, and
// where the options are in error, which the command itself will say.
std::unique_ptr<Watchdog> start_watchdog(const Command& command, const std::vector<std::string>& words);

}  // namespace polyhead
