// What the bits of a run depend on besides its configuration, compared with what a checkpoint was written under.
#pragma once

#include <string>
#include <vector>

#include "distributed/options.h"

namespace polyhead {

// Throws Error(config) naming the differences when `before`, the fingerprint of the checkpoint in `folder`, is not
// `mine`. An empty `before` passes: there is no checkpoint. The workers' own fingerprints are equal, as
// launch/handshake.h has compared them.
void check_fingerprint(const Fingerprint& mine, const Fingerprint& before, const std::string& folder);

// Thread counts for a person: "4" when all workers have the same, else "4 on worker 0, 2 on workers 1-3".
std::string threads_by_worker(const std::vector<int>& threads);

}  // namespace polyhead
