// Asks the dynamic loader for the file of a loaded address.
#include "core/base/library.h"

#include <dlfcn.h>

namespace polyhead {

std::string file_of(const void* address) {
  Dl_info info = {};
  return dladdr(address, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

}  // namespace polyhead
