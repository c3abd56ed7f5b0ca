# LibTorch's headers come with a newer fmt of their own; ONLY_FMT_INCLUDE_DIR, a folder with nothing but the system's fmt, goes
# ahead of them and makes it one for all.
find_path(FMT_INCLUDE_DIR fmt/format.h REQUIRED)
set(ONLY_FMT_INCLUDE_DIR "${CMAKE_CURRENT_BINARY_DIR}/fmt_include")
file(MAKE_DIRECTORY "${ONLY_FMT_INCLUDE_DIR}")
file(CREATE_LINK "${FMT_INCLUDE_DIR}/fmt" "${ONLY_FMT_INCLUDE_DIR}/fmt" SYMBOLIC)
