// Starts the watchdog of a training run, before MPI, from the launcher's environment.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "distributed/watchdog/watchdog.h"
#include "launch/program/program.h"

namespace polyhead {

// words: the command line, beginning with the command's name. Returns null for commands other than train, without a run
// folder, with --print-config, if both timeouts are 0, if the launcher does not give the rank, and if the options are
// invalid, which the command itself reports.
std::unique_ptr<Watchdog> start_watchdog(const Command& command, const std::vector<std::string>& words);

}  // namespace polyhead
