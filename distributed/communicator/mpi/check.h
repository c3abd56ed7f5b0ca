// Checks calls of MPI: an error becomes an exception that contains MPI's own message.
#pragma once

#include <mpi.h>

namespace polyhead {

[[noreturn]] void throw_mpi_error(int code, const char* expression, const char* file, int line);

}  // namespace polyhead

#define POLYHEAD_MPI_CHECK(expression)                                        \
  do {                                                                        \
    if (const int mpi_code = (expression); mpi_code != MPI_SUCCESS)           \
      ::polyhead::throw_mpi_error(mpi_code, #expression, __FILE__, __LINE__); \
  } while (false)
