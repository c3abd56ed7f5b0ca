// What a start takes from the configuration of another: of the run that its folder holds, and of the run whose weights
// it starts from.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "distributed/communicator/communicator.h"
#include "launch/options.h"

namespace polyhead {

struct Inherited {
  std::optional<Config> before;         // config.ini of the run that the folder holds; none: it holds none
  bool has_weights = false;             // that run has a checkpoint, so the weights that it started from are not read
  std::vector<std::string> notes = {};  // for a person, one line each
};

// Completes `config`:
//   - from config.ini of the run in run.run_dir: everything that is not given, when run.data is not given or nothing
//     that belongs to the run's identity is; otherwise run.tasks and run.init_*, where they are not given;
//   - for a new run, from config.ini of the run in run.init_from: everything that is not given, when run.data is not
//     given; otherwise the options of encoder and task attention.
// What belongs to one start (run.stop_at, run.resume, run.trace) is never taken. Rank 0 reads the files, for all.
// Throws Error(config) for a config.ini that cannot be read, and when run.init_from holds no run or is the run itself.
// Collective.
Inherited inherit(Config& config, Communicator& world);

// As the second half of the first point, for who knows the configuration of the run before.
void inherit_start(Config& config, const Config& before);

// What differs from the run before though it is resumed, for a person, one line each.
std::vector<std::string> changes_on_resuming(const Config& before, const Config& now);

}  // namespace polyhead
