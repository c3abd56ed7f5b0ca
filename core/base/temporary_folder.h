// A folder that is removed with everything in it when its object is destroyed.
#pragma once

#include <filesystem>
#include <string_view>

namespace polyhead {

class TemporaryFolder {
 public:
  // Makes a folder in TMPDIR whose name begins with "polyhead-" and `name`. Throws Error(cannot_write).
  explicit TemporaryFolder(std::string_view name);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace polyhead
