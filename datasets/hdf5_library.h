// The versions of HDF5.
#pragma once

#include "core/base/library.h"

namespace polyhead {

// Reports a fault if the loaded version is not that of the headers, because HDF5 then ends the process.
Library hdf5_library();

}  // namespace polyhead
