// The version of LibTorch's headers, and the file that was loaded.
#include "core/model/torch_library.h"

#include <ATen/Version.h>
#include <torch/version.h>

namespace polyhead {

Library torch_library() {
  Library library = {.name = "LibTorch", .compiled = TORCH_VERSION};
  library.file = file_of(reinterpret_cast<const void*>(&at::get_cpu_capability));
  library.note = "kernels for " + at::get_cpu_capability();
  return library;
}

}  // namespace polyhead
