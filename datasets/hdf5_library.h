// Which HDF5 this is.
#pragma once

#include "core/base/library.h"

namespace polyhead {

// With a fault where another version was loaded than the headers are of: HDF5 itself ends the process then.
Library hdf5_library();

}  // namespace polyhead
