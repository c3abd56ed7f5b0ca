// Options that a start takes from the configuration of another run: of the run in its folder, and of the run whose
// weights it starts from.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "distributed/communicator/communicator.h"
#include "launch/options.h"

namespace polyhead {

struct Inherited {
  std::optional<Config> before;  // config.ini of the run in the folder; none if there is no run
  bool has_weights = false;      // whether that run has a checkpoint, so that the weights it started from are not read
  std::vector<std::string> notes = {};  // for the user, one line each
};

// Completes `config`.
// - From config.ini of the run in run.run_dir: all options that are not given, if run.data is not given or no identity
//   option is given; otherwise run.tasks and run.init_*, if they are not given.
// - For a new run, from config.ini of the run in run.init_from: all options that are not given, if run.data is not
//   given; otherwise the identity options of the encoder, attention.mode and attention.heads.
// - Options of a single start (run.run_dir, run.stop_at, run.resume, run.trace) are never taken.
// - Rank 0 reads the files for all workers. Collective.
// - Throws Error(config) for a config.ini that cannot be read, and if run.init_from does not hold a run or is the run
//   itself.
Inherited inherit(Config& config, Communicator& world);

// Applies the second half of the first item, if the configuration of the previous run is known.
void inherit_start(Config& config, const Config& before);

// Returns what differs from the previous configuration although the run is resumed, for the user, one line each.
std::vector<std::string> changes_on_resuming(const Config& before, const Config& now);

}  // namespace polyhead
