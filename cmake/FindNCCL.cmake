# Finds NCCL: beside LibTorch, whose library must be the only one in the process, or else in the CUDA toolkit, where LibTorch's
# wheel without its NVIDIA wheels finds it too.
#
#   NCCL_INCLUDE_DIR, NCCL_LIBRARY   nccl.h and libnccl.so.2
#   CUDA_RUNTIME_INCLUDE_DIR         cuda_runtime_api.h, cuda_bf16.h, …
#   CUDA_RUNTIME_LIBRARY             libcudart, LibTorch's own where it has one
#
# Targets: NCCL::headers (both kinds of headers, nothing to link); NCCL::NCCL (and both libraries), where they exist.
set(_nccl_beside "")
foreach(dir IN LISTS LibTorch_NVIDIA_LIBRARY_DIRS)
  list(APPEND _nccl_beside "${dir}/..")
endforeach()
if(NOT CUDAToolkit_FOUND)
  find_package(CUDAToolkit QUIET)
endif()
set(_nccl_toolkit "${CUDAToolkit_LIBRARY_DIR}/.." "${CUDAToolkit_LIBRARY_ROOT}" "$ENV{CUDA_HOME}" /usr/local/cuda)
find_file(NCCL_LIBRARY libnccl.so.2 HINTS ${_nccl_beside} ${_nccl_toolkit} PATHS /usr/lib /usr/lib64
  PATH_SUFFIXES lib lib64 ${CMAKE_LIBRARY_ARCHITECTURE})
find_file(CUDA_RUNTIME_LIBRARY NAMES libcudart.so.${CUDAToolkit_VERSION_MAJOR} libcudart.so HINTS ${_nccl_beside} ${_nccl_toolkit}
  PATH_SUFFIXES lib lib64)
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${_nccl_beside} ${_nccl_toolkit} PATH_SUFFIXES include)
find_path(CUDA_RUNTIME_INCLUDE_DIR cuda_bf16.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${_nccl_toolkit} PATH_SUFFIXES include)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_INCLUDE_DIR CUDA_RUNTIME_INCLUDE_DIR)
if(NCCL_FOUND AND NOT TARGET NCCL::headers)
  add_library(NCCL::headers INTERFACE IMPORTED)
  target_include_directories(NCCL::headers SYSTEM INTERFACE "${NCCL_INCLUDE_DIR}" "${CUDA_RUNTIME_INCLUDE_DIR}")
  if(NCCL_LIBRARY AND CUDA_RUNTIME_LIBRARY)
    add_library(NCCL::NCCL INTERFACE IMPORTED)
    target_link_libraries(NCCL::NCCL INTERFACE NCCL::headers "${NCCL_LIBRARY}" "${CUDA_RUNTIME_LIBRARY}")
  endif()
endif()
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY CUDA_RUNTIME_INCLUDE_DIR CUDA_RUNTIME_LIBRARY)
