// Files with random access. They are opened and mapped when needed, with a bounded number open at the same time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>

namespace polyhead {

// A file that is open for reading, either memory-mapped or read with pread. Throws Error(data).
class OpenFile {
 public:
  OpenFile(const std::filesystem::path& file, bool map);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  const std::byte* map() const { return map_; }  // null: read with pread
  std::uint64_t bytes() const { return bytes_; }
  std::int64_t changed() const { return changed_; }  // time of the last modification, ns
  // Reads `bytes` bytes at `offset` into `out`.
  void read(std::uint64_t offset, std::uint64_t bytes, std::byte* out) const;

 private:
  std::filesystem::path file_;
  const std::byte* map_ = nullptr;
  std::uint64_t bytes_ = 0;
  std::int64_t changed_ = 0;
  int descriptor_ = -1;  // used by pread only: a map needs none
};

// Returns the name of the file that is mapped at an address, or null. Async-signal-safe.
const char* mapped_file_at(const void* address);

class PooledFile;

// Bounds the number of open files. The first half stays open as long as the files are in the pool, so that reading them
// takes no lock. The others share the second half, and the least recently used one is closed first. Thread-safe.
class FilePool {
 public:
  explicit FilePool(std::size_t capacity) : capacity_(capacity) {}
  // Returns the pool of this process: a quarter of the files that it may open, between 4 and 256.
  static const std::shared_ptr<FilePool>& shared();

 private:
  friend class PooledFile;
  const std::size_t capacity_;
  std::mutex mutex_;
  std::size_t residents_ = 0;
  std::list<PooledFile*> recent_;  // most recently used first
};

// A file in a pool.
class PooledFile {
 public:
  PooledFile(std::filesystem::path file, bool map, std::shared_ptr<FilePool> pool);
  ~PooledFile();
  PooledFile(const PooledFile&) = delete;
  PooledFile& operator=(const PooledFile&) = delete;

  const std::filesystem::path& path() const { return file_; }
  std::uint64_t bytes() const { return bytes_; }
  // Returns the map of a file that stays open; null: use pin().
  const std::byte* resident_map() const { return resident_map_.load(std::memory_order_acquire); }
  // Returns the open file, which stays open while the pin lives. Throws Error(data) if it cannot be opened or has
  // changed.
  std::shared_ptr<const OpenFile> pin();

 private:
  const std::filesystem::path file_;
  const bool map_;
  const std::shared_ptr<FilePool> pool_;
  std::uint64_t bytes_ = 0;
  std::int64_t changed_ = 0;
  // Under the pool's lock:
  std::shared_ptr<const OpenFile> held_;
  std::list<PooledFile*>::iterator place_;  // in recent_
  bool resident_ = false;
  std::atomic<const std::byte*> resident_map_ = nullptr;
};

}  // namespace polyhead
