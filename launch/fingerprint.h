// What the bits of a training run depend on beside its configuration.
#pragma once

#include "distributed/options.h"

namespace polyhead {

// Of this process: "program" (a hash of the executable and the libraries that compute), "processor", "instructions"
// (with the environment's wishes about them) and "threads" a worker.
Fingerprint fingerprint(int threads);

// What all workers must have in common to train together, known in milliseconds: "program" (a hash of the executable),
// "instructions", the versions of the libraries and the build ids of those that compute.
Fingerprint program_facts();

}  // namespace polyhead
