// Converts the options of a training run to the structs that the lower layers use.
#pragma once

#include "datasets/manifest.h"
#include "distributed/training/trainer.h"
#include "launch/effects.h"
#include "launch/options.h"

namespace polyhead {

// Resolves `config` and returns the structs.
// - Fills in what follows from the data set (run.tasks, run.data_hash and, per task, what depends on its kind) and from
//   the teachers of the tasks, whose checkpoints it reads. After that, `config` is what config.ini stores.
// - Checks the values against each other and against the data set. Throws Error(config), which says where the value
//   came from, and Error(data) for a damaged teacher.
// - Threads and device stay as in `config`, including 0 and auto.
TrainOptions train_options_of(Config& config, const Manifest& manifest, bool has_weights = false);

// Finds the weights that a new run starts from, if any, for `options` of train_options_of(), and fills in their keys
// for config.ini. has_weights: whether the run already has a checkpoint, so that they are not read. Throws as
// resolve_initial_weights(), and Error(config) if they have changed since the run began.
void resolve_initial(Config& config, TrainOptions& options, const Manifest& manifest, bool has_weights);

// Reads the manifest of the data set in run.data. Throws as read_manifest(). If the folder comes from a file, such as a
// run's config.ini, and holds no data set, the message names that file and says how to give another folder.
Manifest read_data_set(const Config& config);

TaskKinds kinds_of(const Manifest& manifest);
// Throws Error(config) for an option that the user gave and that has no effect (launch/effects.h). before: the
// configuration of the run that is resumed, whose values are accepted; may be null.
void require_effects_of(const Config& config, const Manifest& manifest, const Config* before);

// Returns the tasks that run.tasks (or another list option) names, in the order of the data set; all tasks if it is
// empty. Throws Error(config) for an unknown or repeated name.
std::vector<std::string> chosen_tasks(const Config& config, const std::string& option, const Manifest& manifest);

}  // namespace polyhead
