// The local backend: a world of one, and memory that is not shared.
#pragma once

#include <cstddef>
#include <memory>

#include "distributed/communicator/communicator.h"

namespace polyhead {

std::unique_ptr<Communicator> make_local_communicator();

// Zeroed memory of this process alone, for groups that cannot share.
std::unique_ptr<SharedBuffer> make_plain_buffer(std::size_t bytes);

}  // namespace polyhead
