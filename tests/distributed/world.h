// The group that all ranks of the test program form; every rank runs the same tests in the same order.
#pragma once

#include "distributed/communicator/communicator.h"

namespace polyhead {

Communicator& world();

}  // namespace polyhead
