# Finds LibTorch inside a PyPI wheel (or any unpacked LibTorch) without the CUDA toolkit that the wheel's own CMake package
# insists on.
#
#   Torch_DIR            a LibTorch prefix, its share/cmake/Torch, or a folder that holds the wheel's "torch"
#   POLYHEAD_CACHE       set here: where launch/setup puts the wheel (environment POLYHEAD_CACHE, XDG_CACHE_HOME/polyhead, ~/.cache/polyhead)
#
# Targets: LibTorch::cpu (torch_cpu and c10 only); LibTorch::cuda (and torch_cuda, c10_cuda), where they exist.
set(POLYHEAD_CACHE "$ENV{POLYHEAD_CACHE}")
if(NOT POLYHEAD_CACHE)
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(POLYHEAD_CACHE "$ENV{XDG_CACHE_HOME}/polyhead")
  else()
    set(POLYHEAD_CACHE "$ENV{HOME}/.cache/polyhead")
  endif()
endif()
set(POLYHEAD_LIBTORCH_VERSION 2.11.0)
set(_hints "${Torch_DIR}" "${Torch_DIR}/../../.." "${Torch_DIR}/torch" "${POLYHEAD_CACHE}/libtorch-${POLYHEAD_LIBTORCH_VERSION}/torch")

find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS ${_hints} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 HINTS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_CUDA_LIBRARY torch_cuda HINTS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda HINTS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run ./launch/setup, which installs LibTorch, or give -DTorch_DIR=DIR")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  get_filename_component(LibTorch_LIBRARY_DIR "${LibTorch_CPU_LIBRARY}" DIRECTORY)
  get_filename_component(_nvidia "${LibTorch_LIBRARY_DIR}/../../nvidia" ABSOLUTE)
  file(GLOB LibTorch_NVIDIA_LIBRARY_DIRS "${_nvidia}/*/lib")
  add_library(LibTorch::cpu INTERFACE IMPORTED)
  target_include_directories(LibTorch::cpu SYSTEM INTERFACE
    "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  # Never -ltorch: it pulls in torch_cuda and all of CUDA under it.
  target_link_libraries(LibTorch::cpu INTERFACE "${LibTorch_CPU_LIBRARY}" "${LibTorch_C10_LIBRARY}")
  # The wheel's own OpenMP runtime must be the only one in the process.
  set(_rpath_link "")
  foreach(dir IN LISTS LibTorch_NVIDIA_LIBRARY_DIRS)
    list(APPEND _rpath_link "-Wl,-rpath-link,${dir}")
  endforeach()
  target_link_options(LibTorch::cpu INTERFACE ${_rpath_link})
  if(LibTorch_CUDA_LIBRARY AND LibTorch_C10_CUDA_LIBRARY)
    add_library(LibTorch::cuda INTERFACE IMPORTED)
    # torch_cuda names more libraries (cuDNN, cuSPARSELt, NVSHMEM, …) than a machine without a GPU needs to have: they are
    # looked for when the program starts, not when it is linked. The one NCCL is torch_cuda's own.
    target_link_libraries(LibTorch::cuda INTERFACE LibTorch::cpu
      -Wl,--no-as-needed "${LibTorch_CUDA_LIBRARY}" "${LibTorch_C10_CUDA_LIBRARY}" -Wl,--as-needed
      -Wl,--allow-shlib-undefined)
  endif()
endif()
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_CUDA_LIBRARY LibTorch_C10_CUDA_LIBRARY)
