// The versions of HDF5's headers and of the loaded library.
#include "datasets/hdf5_library.h"

#include <H5public.h>
#include <fmt/format.h>

namespace polyhead {

Library hdf5_library() {
  Library library = {.name = "HDF5",
                     .compiled = fmt::format("{}.{}.{}", H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE)};
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  library.loaded = fmt::format("{}.{}.{}", major, minor, release);
  library.file = file_of(reinterpret_cast<const void*>(&H5get_libversion));
  if (library.loaded != library.compiled) {
    library.fault = fmt::format("compiled with {}, but {} was loaded", library.compiled, library.loaded);
    library.cure = "take the other one out of LD_LIBRARY_PATH, or build again with its headers";
  }
  return library;
}

}  // namespace polyhead
