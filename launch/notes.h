// Notes for the user about options that are valid, but do less than they seem to.
#pragma once

#include <string>
#include <vector>

#include "datasets/manifest.h"
#include "distributed/options.h"
#include "launch/options.h"

namespace polyhead {

// Returns one line for each: a warm-up that is as long as the run, and tasks without a valid split that run.eval_every
// does not evaluate. options: those of `config`, from train_options_of().
std::vector<std::string> notes_of_options(const Config& config, const TrainOptions& options, const Manifest& manifest);

}  // namespace polyhead
