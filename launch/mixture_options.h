// Reads the [mixture] section of a configuration, phases included.
#pragma once

#include <string>
#include <vector>

#include "datasets/sampling/mixture.h"
#include "launch/options.h"

namespace polyhead {

// tasks: those of the run; phases: the value of mixture.phases. Throws Error(config), which names the key, the phase
// and the cure. phase_quotas() checks the rest.
MixtureOptions mixture_options(const Config& config, const std::vector<std::string>& tasks, const std::string& phases);

}  // namespace polyhead
