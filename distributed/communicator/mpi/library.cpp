// Reads MPI's version from its headers and from the library, and its thread level.
#include <fmt/format.h>
#include <mpi.h>

#include <string_view>

#include "distributed/communicator/libraries.h"

namespace polyhead {

Library mpi_library() {
  Library library = {.name = "MPI", .compiled = fmt::format("standard {}.{}", MPI_VERSION, MPI_SUBVERSION)};
#ifdef OMPI_MAJOR_VERSION
  library.compiled = fmt::format("Open MPI {}.{}.{}", OMPI_MAJOR_VERSION, OMPI_MINOR_VERSION, OMPI_RELEASE_VERSION);
#endif
  char words[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(words, &length);
  const std::string_view told(words, static_cast<std::size_t>(length));
  library.loaded = std::string(told.substr(0, told.find_first_of(",\n")));
  if (library.loaded.starts_with("Open MPI v")) library.loaded.erase(9, 1);
  library.file = file_of(reinterpret_cast<const void*>(&MPI_Get_library_version));
  int running = 0, over = 0, level = 0;
  MPI_Initialized(&running);
  MPI_Finalized(&over);
  if (running != 0 && over == 0 && MPI_Query_thread(&level) == MPI_SUCCESS)
    library.note = fmt::format("thread level {}", level == MPI_THREAD_SINGLE       ? "single"
                                                  : level == MPI_THREAD_FUNNELED   ? "funneled"
                                                  : level == MPI_THREAD_SERIALIZED ? "serialized"
                                                                                   : "multiple");
#ifdef OMPI_MAJOR_VERSION
  // Open MPI keeps its ABI within a major version.
  if (!library.loaded.starts_with(fmt::format("Open MPI {}.", OMPI_MAJOR_VERSION))) {
    library.fault = fmt::format("compiled with {}, but {} was loaded", library.compiled, library.loaded);
    library.cure = "start with the mpirun and the LD_LIBRARY_PATH (module) that the program was built with";
  }
#endif
  return library;
}

}  // namespace polyhead
