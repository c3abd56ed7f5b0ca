// The folder that an import writes to before its content becomes the data set.
#pragma once

#include <filesystem>
#include <functional>

namespace polyhead {

// An empty folder that is locked against other imports. It is removed unless it was published.
class Staging {
 public:
  // Throws Error(cannot_write) if another import to `target` uses the folder.
  Staging(const std::filesystem::path& folder, const std::filesystem::path& target);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  const std::filesystem::path& folder() const { return folder_; }
  // Makes the content of the folder the data set `target`: renames the folder to it, or, if the folder is inside of it,
  // moves its entries there, dataset.json last.
  void publish();
  // The same with another way to move the files. Until `move` returns, discard_import() waits.
  void publish(const std::function<void()>& move);

 private:
  void close();
  void move();
  void move_entries();

  std::filesystem::path folder_, target_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

// For a process that ends during an import, from any thread: removes the staging folder of the import and returns true.
// After that, the import waits forever where it would publish or report an error, so the caller must end the process.
// Returns false if the data set is complete already.
bool discard_import();

// Returns the folder of a data set: without a trailing '/', and for a symbolic link the folder that it points to.
// Throws Error(cannot_write) for a link to itself.
std::filesystem::path target_of(const std::filesystem::path& out);

// Throws Error(cannot_write) unless `target` does not exist or is an empty folder. Files that a killed import left
// there, and the folder lost+found of a volume, do not count.
void refuse_full(const std::filesystem::path& target);

// Returns a staging folder next to `target`, or inside of it if it is not empty, is a mounted volume, or if its parent
// is not writable.
Staging staging_beside(const std::filesystem::path& target);

}  // namespace polyhead
