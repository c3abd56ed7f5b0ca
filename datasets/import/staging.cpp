// A folder with a lock, which is renamed at the end.
#include "datasets/import/staging.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInside = ".importing";

bool counts(const fs::path& entry) {
  return entry.filename() != kInside && entry.filename() != "lost+found";
}

// Returns `path`, or the first of PATH-2, PATH-3, … that does not exist.
fs::path unused_name(const fs::path& path) {
  fs::path name = path;
  for (int n = 2; fs::exists(name); ++n) name = fmt::format("{}-{}", path.string(), n);
  return name;
}

// The import of this process, for discard_import(). The lock is held while an import is published or discarded.
std::mutex g_publishing;
const Staging* g_staging = nullptr;
bool g_published = false;

bool is_mounted(const fs::path& folder) {
  struct statx about {};
  if (::statx(AT_FDCWD, folder.c_str(), 0, STATX_INO, &about) == 0 &&
      (about.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0)
    return (about.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  struct stat here {
  }, above{};
  return ::stat(folder.c_str(), &here) == 0 && ::stat((folder / "..").c_str(), &above) == 0 &&
         here.st_dev != above.st_dev;
}

}  // namespace

Staging::Staging(const fs::path& folder, const fs::path& target) : folder_(folder), target_(target) {
  const std::lock_guard lock(g_publishing);
  fs::create_directories(folder);
  descriptor_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // Some network file systems cannot lock folders; then other imports are not excluded.
  bool taken = descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  // Another import may have finished, and renamed or removed the folder, between open and lock.
  struct stat here {
  }, there{};
  taken = taken || ::stat(folder.c_str(), &there) != 0 ||
          (descriptor_ >= 0 && (::fstat(descriptor_, &here) != 0 || here.st_ino != there.st_ino));
  if (taken) {
    close();
    throw Error(Exit::cannot_write,
                fmt::format("cannot import to {}: another import is writing to it; wait until it has ended, or choose "
                            "another --out",
                            target.string()));
  }
  for (const auto& left : fs::directory_iterator(folder))
    fs::remove_all(left.path());  // left by an import that was killed
  g_staging = this;
  g_published = false;
}

Staging::~Staging() {
  const std::lock_guard lock(g_publishing);
  g_staging = nullptr;
  std::error_code ignored;
  if (!renamed_) fs::remove_all(folder_, ignored);
  close();
}

void Staging::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

void Staging::publish() {
  publish([this] { move(); });
}

void Staging::publish(const std::function<void()>& move) {
  const std::lock_guard lock(g_publishing);
  move();
  g_published = true;
}

void Staging::move() {
  if (folder_.parent_path() == target_) {
    move_entries();
    return;
  }
  rename_and_sync(folder_, target_);
  renamed_ = true;
}

void Staging::move_entries() {
  std::vector<fs::path> names;
  for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename());
  // The manifest is moved last: without it the folder is not a data set.
  std::sort(names.begin(), names.end(), [](const fs::path& a, const fs::path& b) {
    return std::pair(a == "dataset.json", a.native()) < std::pair(b == "dataset.json", b.native());
  });
  std::vector<fs::path> moved;
  try {
    for (const fs::path& name : names) {
      rename_and_sync(folder_ / name, target_ / name);
      moved.push_back(target_ / name);
    }
  } catch (...) {
    std::error_code ignored;
    for (const fs::path& one : moved) fs::remove_all(one, ignored);
    throw;
  }
}

bool discard_import() {
  g_publishing.lock();
  if (g_published) {
    g_publishing.unlock();
    return false;
  }
  // Other threads may still create files there; they fail as soon as the folder is gone.
  std::error_code code;
  constexpr int kTries = 1000;
  for (int i = 0; g_staging != nullptr && i < kTries && fs::exists(g_staging->folder(), code); ++i)
    fs::remove_all(g_staging->folder(), code);
  return true;
}

fs::path target_of(const fs::path& out) {
  fs::path target = out.has_filename() ? out : out.parent_path();
  std::error_code ignored;
  for (int links = 0; fs::is_symlink(target, ignored); ++links) {
    if (links == 40)
      throw Error(Exit::cannot_write,
                  fmt::format("cannot import to {}: it is a symbolic link that leads to itself; remove it, or choose "
                              "another --out",
                              out.string()));
    target = (target.parent_path() / fs::read_symlink(target)).lexically_normal();
    if (!target.has_filename()) target = target.parent_path();
  }
  return target;
}

void refuse_full(const fs::path& target) {
  if (!fs::exists(target)) return;
  const bool folder = fs::is_directory(target);
  if (folder && std::none_of(fs::directory_iterator(target), fs::directory_iterator(),
                             [](const fs::directory_entry& entry) { return counts(entry.path()); }))
    return;
  std::string found = "is a file";
  fs::path other = target;
  if (folder && fs::exists(target / "dataset.json")) {
    found = "holds a data set, to which --append adds";
  } else if (folder) {
    found = "is not empty";
    other /= "data";
  }
  throw Error(Exit::cannot_write,
              fmt::format("cannot import to {}: it {}; import writes to a folder that is new or empty, for example "
                          "--out {}",
                          target.string(), found, unused_name(other).string()));
}

Staging staging_beside(const fs::path& target) {
  const fs::path above = fs::absolute(target).parent_path();
  if (fs::is_directory(target) &&
      (!fs::is_empty(target) || is_mounted(target) || ::access(above.c_str(), W_OK | X_OK) != 0))
    return {target / kInside, target};
  return {target.string() + ".importing", target};
}

}  // namespace polyhead
