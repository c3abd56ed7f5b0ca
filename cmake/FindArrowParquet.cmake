# Finds Apache Arrow's C++ library with Parquet: where ARROW_ROOT says, in the system, or where launch/setup puts the libraries
# of the PyPI wheel, whose names have no plain .so.
#
#   ARROW_ROOT           a prefix with include/ and lib/, or the wheel's folder pyarrow; also as an environment variable
#
# Target: ArrowParquet::ArrowParquet
set(POLYHEAD_ARROW_VERSION 26.0.1)
set(_arrow_given "${ARROW_ROOT}" "$ENV{ARROW_ROOT}")
set(_arrow_cache "${POLYHEAD_CACHE}/arrow-${POLYHEAD_ARROW_VERSION}")
find_path(ArrowParquet_INCLUDE_DIR parquet/arrow/reader.h HINTS ${_arrow_given} PATHS "${_arrow_cache}" PATH_SUFFIXES include)
if(ArrowParquet_INCLUDE_DIR)
  get_filename_component(_arrow_prefix "${ArrowParquet_INCLUDE_DIR}" DIRECTORY)
  file(STRINGS "${ArrowParquet_INCLUDE_DIR}/arrow/util/config.h" _arrow_config REGEX "define ARROW_(VERSION_STRING|SO_VERSION) ")
  string(REGEX REPLACE ".*VERSION_STRING \"([^\"]*)\".*" "\\1" ArrowParquet_VERSION "${_arrow_config}")
  string(REGEX REPLACE ".*SO_VERSION \"([^\"]*)\".*" "\\1" _arrow_so "${_arrow_config}")
  foreach(name arrow parquet)
    string(TOUPPER ${name} _upper)
    find_file(ArrowParquet_${_upper}_LIBRARY NAMES lib${name}.so.${_arrow_so} lib${name}.so
      HINTS "${_arrow_prefix}" PATH_SUFFIXES lib lib64 lib/${CMAKE_LIBRARY_ARCHITECTURE})
  endforeach()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ArrowParquet
  REQUIRED_VARS ArrowParquet_PARQUET_LIBRARY ArrowParquet_ARROW_LIBRARY ArrowParquet_INCLUDE_DIR VERSION_VAR ArrowParquet_VERSION
  REASON_FAILURE_MESSAGE "Parquet files cannot be read: run ./launch/setup, which installs Apache Arrow, or give -DARROW_ROOT=DIR")
if(ArrowParquet_FOUND AND NOT TARGET ArrowParquet::ArrowParquet)
  add_library(ArrowParquet::ArrowParquet INTERFACE IMPORTED)
  target_include_directories(ArrowParquet::ArrowParquet SYSTEM INTERFACE "${ArrowParquet_INCLUDE_DIR}")
  target_link_libraries(ArrowParquet::ArrowParquet INTERFACE "${ArrowParquet_PARQUET_LIBRARY}" "${ArrowParquet_ARROW_LIBRARY}")
endif()
mark_as_advanced(ArrowParquet_INCLUDE_DIR ArrowParquet_PARQUET_LIBRARY ArrowParquet_ARROW_LIBRARY)
