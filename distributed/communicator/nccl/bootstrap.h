// What the workers compare before NCCL starts: the version, a device for each worker, a unique id.
#pragma once

#include <nccl.h>

#include <string>
#include <vector>

#include "distributed/communicator/communicator.h"

namespace polyhead {

// Both throw Error(config) with the same message on all members of `host`. Collective.
void check_nccl_versions(Communicator& host);
void check_devices(Communicator& host, int device);

// Rank 0 creates it, and all members return it. Collective.
ncclUniqueId share_unique_id(Communicator& host);

// Files of this process's shared libraries whose name begins with `stem` ("libnccl.so").
std::vector<std::string> loaded_libraries(const std::string& stem);
// Throws Error(config) if there is more than one file.
void check_one_library(const std::vector<std::string>& files);

}  // namespace polyhead
