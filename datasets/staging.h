// The folder that an import writes into before all of it becomes the data set.
#pragma once

#include <filesystem>

namespace polyhead {

// Empty, and locked against other imports; removed unless it was published.
class Staging {
 public:
  // Throws Error(cannot_write) when another import to `target` has the folder.
  Staging(const std::filesystem::path& folder, const std::filesystem::path& target);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  const std::filesystem::path& folder() const { return folder_; }
  // Makes what the folder holds the data set `target`: renames the folder over it, or, where the folder lies in it,
  // moves its entries there, dataset.json last.
  void publish();

 private:
  void close();
  void move_entries();

  std::filesystem::path folder_, target_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

// Where a data set goes: without a trailing '/', and where it is a symbolic link, what that points to. Throws
// Error(cannot_write) for a link to itself.
std::filesystem::path target_of(const std::filesystem::path& out);

// Throws Error(cannot_write) unless a data set can become `target`: nothing is there, or an empty folder. What a killed
// import left there and the folder lost+found of a volume do not count.
void refuse_full(const std::filesystem::path& target);

// A staging folder beside `target`; in it where it is a mounted volume, or where nothing can be written beside it.
Staging staging_beside(const std::filesystem::path& target);

}  // namespace polyhead
