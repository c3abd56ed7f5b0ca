// mkdtemp, and the removal.
#include "core/base/temporary_folder.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <string>
#include <system_error>

#include "core/base/error.h"

namespace polyhead {

TemporaryFolder::TemporaryFolder(std::string_view name) {
  std::string path = (std::filesystem::temp_directory_path() / fmt::format("polyhead-{}-XXXXXX", name)).string();
  if (::mkdtemp(path.data()) == nullptr)
    throw Error(Exit::cannot_write, fmt::format("cannot make a temporary folder like {}; set TMPDIR", path));
  path_ = path;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace polyhead
