// What the bits of a training run depend on beside its configuration.
#pragma once

#include "distributed/reproducible.h"

namespace polyhead {

// Of this process: "program" (a hash of the executable and the libraries that compute), "processor", "instructions"
// (with the environment's wishes about them) and "threads" a worker.
Fingerprint fingerprint(int threads);

}  // namespace polyhead
