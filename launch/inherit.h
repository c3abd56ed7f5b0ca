// Options that a start takes from the configuration of another run: of the run in its folder, and of the run whose
// weights it starts from.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "datasets/manifest.h"
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
//   option is given; otherwise run.tasks, run.init_*, encoder.from and what it determines, if they are not given.
// - For a new run, from config.ini of the run in run.init_from: all options that are not given, if run.data is not
//   given; otherwise the identity options of the encoder, attention.mode and attention.heads.
// - Options of a single start (run.run_dir, run.stop_at, run.resume, run.trace) are never taken.
// - Rank 0 reads the files for all workers. Collective.
// - Throws Error(config) for a config.ini that cannot be read, and if run.init_from does not hold a run or is the run
//   itself.
Inherited inherit(Config& config, Communicator& world);

// Applies the second half of the first item, if the configuration of the previous run is known.
void inherit_start(Config& config, const Config& before);

// For a resumed run; call it before its config.ini is written again. Checks that the data set has tasks of the run, and
// that run.steps is not less than the number of steps that the run has made. If a configuration file that is used again
// gives fewer steps than an option has given since then, that number applies. If the run has made all steps, a note
// says that it is complete. Throws Error(config). Collective.
void check_resumed(Config& config, Inherited& inherited, const Manifest& manifest, Communicator& world);

// Returns what differs from the previous configuration although the run is resumed, for the user, one line each.
std::vector<std::string> changes_on_resuming(const Config& before, const Config& now);

}  // namespace polyhead
