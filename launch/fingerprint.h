// Facts besides the configuration on which the bits of a training run depend.
#pragma once

#include "distributed/options.h"

namespace polyhead {

// Returns those of this process: "program" (a hash of the executable and of the libraries that compute), "processor",
// "instructions" (with environment variables that affect them) and "threads" per worker.
Fingerprint fingerprint(int threads);

// Returns the facts that all workers must share to train together; it takes milliseconds. These are "program" (a hash
// of the executable), "instructions", the versions of the libraries, and the build ids of those that compute.
Fingerprint program_facts();

}  // namespace polyhead
