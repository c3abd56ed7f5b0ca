// A table of files with the result of stat() at opening and their SHA-256.
#include "datasets/known_content.h"

#include <sys/stat.h>

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"

namespace polyhead {
namespace {

// Equal stamps mean equal content.
struct Stamp {
  std::uint64_t bytes = 0, device = 0, inode = 0;
  std::int64_t written = 0,
               changed = 0;  // times of the last change, in ns since 1970: of the content; of the content or the inode
  bool operator==(const Stamp&) const = default;
};

struct Known {
  Stamp stamp;
  std::string sha256;
};

struct Table {
  std::mutex mutex;
  std::unordered_map<std::string, Known> files;
};

Table& table() {
  static Table one;
  return one;
}

std::int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

bool stamp_of(const std::filesystem::path& file, Stamp& stamp) {
  struct stat about {};
  if (::stat(file.c_str(), &about) != 0) return false;
  stamp = {.bytes = static_cast<std::uint64_t>(about.st_size),
           .device = about.st_dev,
           .inode = about.st_ino,
           .written = nanoseconds(about.st_mtim),
           .changed = nanoseconds(about.st_ctim)};
  return true;
}

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw Error(Exit::data, fmt::format("the shard {} {}", file.string(), what));
}

constexpr const char* kCure = "restore it, and do not write to a data set that is being trained on";

void compare(const std::filesystem::path& file, const Known& known, const Stamp& now) {
  if (now.bytes != known.stamp.bytes)
    fail(file, fmt::format("had {} bytes when it was opened and has {} now: another program changes it; {}",
                           known.stamp.bytes, now.bytes, kCure));
  if (known.sha256.empty()) {
    if (now.written == known.stamp.written && now.inode == known.stamp.inode) return;
    fail(file,
         "was written, touched or replaced while it was in use, and dataset.json has no sha256 to check whether its "
         "content has changed; 'polyhead verify --rehash' adds it");
  }
  if (sha256_file(file) != known.sha256)
    fail(file, fmt::format("was rewritten or replaced while it was in use: it has {} bytes as before, but its SHA-256 "
                           "is not the one in dataset.json; {}",
                           now.bytes, kCure));
}

}  // namespace

void know_content(const std::filesystem::path& file, const std::string& sha256) {
  Known known{.stamp = {}, .sha256 = sha256};
  if (!stamp_of(file, known.stamp)) return;
  const std::lock_guard lock(table().mutex);
  table().files[file.native()] = std::move(known);
}

void check_content(const std::filesystem::path& file) {
  Stamp now;
  if (!stamp_of(file, now)) return;
  // The lock is kept while a file is read, so that only one thread reads it.
  const std::lock_guard lock(table().mutex);
  const auto found = table().files.find(file.native());
  if (found == table().files.end() || found->second.stamp == now) return;
  compare(file, found->second, now);
  found->second.stamp = now;
}

}  // namespace polyhead
