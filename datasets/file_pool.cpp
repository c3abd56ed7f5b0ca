// Opens, maps and closes the files of a pool.
#include "datasets/file_pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/progress.h"
#include "datasets/known_content.h"

namespace polyhead {
namespace {

// The mapped files, for a signal handler. A slot is in use while `name` is not null.
struct Mapped {
  std::atomic<const char*> name = nullptr;
  std::atomic<std::uintptr_t> begin = 0, end = 0;
};
std::array<Mapped, 1024> g_mapped;

void remember(const char* name, const void* begin, std::uint64_t bytes) {
  for (Mapped& slot : g_mapped) {
    const char* none = nullptr;
    if (!slot.name.compare_exchange_strong(none, name)) continue;
    slot.begin = reinterpret_cast<std::uintptr_t>(begin);
    slot.end = slot.begin + bytes;
    return;
  }
}

void forget(const char* name) {
  for (Mapped& slot : g_mapped)
    if (slot.name == name) {
      slot.begin = slot.end = 0;
      slot.name = nullptr;
      return;
    }
}

constexpr std::size_t kLargestPool = 256, kSmallestPool = 4;

// Returns the number of files that this process may open; 0: no limit is known.
std::uint64_t descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 0;
  return limit.rlim_cur;
}

// The process or the machine has no file descriptor left.
struct TooManyOpenFiles : Error {
  explicit TooManyOpenFiles(const std::string& message) : Error(Exit::data, message) {}
};

[[noreturn]] void fail_to_open(const std::filesystem::path& file, int error) {
  const std::string reason =
      fmt::format("cannot open the shard {}: {}", file.string(), std::system_category().message(error));
  if (error == EMFILE)
    throw TooManyOpenFiles(
        fmt::format("{}. This process may have {} files open at once; allow it more before the "
                    "program starts (ulimit -n 1024)",
                    reason, descriptor_limit()));
  if (error == ENFILE)
    throw TooManyOpenFiles(reason +
                           ". The machine has no file left to open; close other programs, or raise fs.file-max");
  throw Error(Exit::data, reason + ". Is the data set complete?");
}

// Opens a file. If the process cannot open more files, files in `recent` are closed first.
template <class Recent, class Close>
std::shared_ptr<const OpenFile> open_within_limit(const std::filesystem::path& file, bool map, Recent& recent,
                                                  const Close& close) {
  for (;;) {
    try {
      return std::make_shared<const OpenFile>(file, map);
    } catch (const TooManyOpenFiles&) {
      if (recent.empty()) throw;
      close(*recent.back());
      recent.pop_back();
    }
  }
}

}  // namespace

const char* mapped_file_at(const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  for (const Mapped& slot : g_mapped)
    if (at >= slot.begin && at < slot.end) return slot.name;
  return nullptr;
}

OpenFile::OpenFile(const std::filesystem::path& file, bool map) : file_(file) {
  const auto fail = [&] {
    const int error = errno;
    if (descriptor_ >= 0) ::close(descriptor_);
    fail_to_open(file, error);
  };
  note_progress();  // opening thousands of shards on a slow file system is not a hang
  descriptor_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // do not wait for the writer of a pipe
  struct stat about {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &about) != 0) fail();
  if (!S_ISREG(about.st_mode)) {
    ::close(descriptor_);
    throw Error(Exit::data, fmt::format("the shard {} is no regular file. Is the data set complete?", file.string()));
  }
  bytes_ = static_cast<std::uint64_t>(about.st_size);
  changed_ = about.st_mtim.tv_sec * 1'000'000'000LL + about.st_mtim.tv_nsec;
  if (!map || bytes_ == 0) return;
  void* mapped = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, descriptor_, 0);
  if (mapped == MAP_FAILED) fail();
  ::close(descriptor_);
  descriptor_ = -1;
  map_ = static_cast<const std::byte*>(mapped);
  remember(file_.c_str(), map_, bytes_);
}

OpenFile::~OpenFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (map_ == nullptr) return;
  forget(file_.c_str());
  ::munmap(const_cast<std::byte*>(map_), bytes_);
}

void OpenFile::read(std::uint64_t offset, std::uint64_t bytes, std::byte* out) const {
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, out, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw Error(Exit::data, fmt::format("cannot read the shard {} at byte {}: {}", file_.string(), offset,
                                          got == 0 ? "it has become shorter while it was read"
                                                   : std::system_category().message(errno)));
    out += got, offset += static_cast<std::uint64_t>(got), bytes -= static_cast<std::uint64_t>(got);
  }
}

const std::shared_ptr<FilePool>& FilePool::shared() {
  static const auto pool = [] {
    const std::uint64_t limit = descriptor_limit();
    return std::make_shared<FilePool>(limit == 0 ? kLargestPool
                                                 : std::clamp<std::size_t>(limit / 4, kSmallestPool, kLargestPool));
  }();
  return pool;
}

PooledFile::PooledFile(std::filesystem::path file, bool map, std::shared_ptr<FilePool> pool)
    : file_(std::move(file)), map_(map), pool_(std::move(pool)) {
  const std::lock_guard lock(pool_->mutex_);
  const auto now = open_within_limit(file_, false, pool_->recent_, [](PooledFile& other) { other.held_.reset(); });
  bytes_ = now->bytes();
  changed_ = now->changed();
}

PooledFile::~PooledFile() {
  const std::lock_guard lock(pool_->mutex_);
  if (resident_)
    --pool_->residents_;
  else if (held_)
    pool_->recent_.erase(place_);
}

std::shared_ptr<const OpenFile> PooledFile::pin() {
  const std::lock_guard lock(pool_->mutex_);
  auto& recent = pool_->recent_;
  if (held_) {
    if (!resident_) recent.splice(recent.begin(), recent, place_);
    return held_;
  }
  auto opened = open_within_limit(file_, map_, recent, [](PooledFile& other) { other.held_.reset(); });
  if (opened->bytes() != bytes_)
    throw Error(Exit::data,
                fmt::format("the shard {} had {} bytes when it was opened and has {} now: another program changes it; "
                            "restore it, and do not write to a data set that is being trained on",
                            file_.string(), bytes_, opened->bytes()));
  check_content(file_);
  held_ = std::move(opened);
  if (pool_->residents_ < pool_->capacity_ / 2) {
    ++pool_->residents_;
    resident_ = true;
    resident_map_.store(held_->map(), std::memory_order_release);
    return held_;
  }
  recent.push_front(this);
  place_ = recent.begin();
  while (recent.size() > std::max<std::size_t>(pool_->capacity_ - pool_->residents_, 1)) {
    recent.back()->held_.reset();
    recent.pop_back();
  }
  return held_;
}

}  // namespace polyhead
