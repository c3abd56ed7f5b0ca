// The fingerprint is what the bits of a run depend on besides its configuration. It is compared with the fingerprint
// that a checkpoint was written with.
#pragma once

#include <string>
#include <vector>

#include "distributed/options.h"

namespace polyhead {

// Throws Error(config), which names the differences, if `before`, the fingerprint of the checkpoint in `folder`,
// differs from `mine`. An empty `before` means that there is no checkpoint, and passes. All workers have the same
// fingerprint: launch/handshake.h has compared them.
void check_fingerprint(const Fingerprint& mine, const Fingerprint& before, const std::string& folder);

// The numbers of threads as text: "4" if all workers have the same, otherwise "4 on worker 0, 2 on workers 1-3".
std::string threads_by_worker(const std::vector<int>& threads);

}  // namespace polyhead
