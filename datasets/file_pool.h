// Files that are read at random places: opened, and mapped, when they are needed, a bounded number at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>

namespace polyhead {

// A file open for reading, mapped whole or read by pread. Throws Error(data).
class OpenFile {
 public:
  OpenFile(const std::filesystem::path& file, bool map);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  const std::byte* map() const { return map_; }  // null: read by pread
  std::uint64_t bytes() const { return bytes_; }
  std::int64_t changed() const { return changed_; }  // when last, ns
  // Fills out[0:bytes] from `offset`.
  void read(std::uint64_t offset, std::uint64_t bytes, std::byte* out) const;

 private:
  std::filesystem::path file_;
  const std::byte* map_ = nullptr;
  std::uint64_t bytes_ = 0;
  std::int64_t changed_ = 0;
  int descriptor_ = -1;  // of pread only: a map needs none
};

// The name of the file that is mapped at an address, or null. Async-signal-safe.
const char* mapped_file_at(const void* address);

class PooledFile;

// Bounds the files that are open at once: half of them stay open as long as they are known, so that reading them takes
// no lock; the rest share the other half, least recently used out first. Thread-safe.
class FilePool {
 public:
  explicit FilePool(std::size_t capacity) : capacity_(capacity) {}
  // The process's own, of 256 files.
  static const std::shared_ptr<FilePool>& shared();

 private:
  friend class PooledFile;
  const std::size_t capacity_;
  std::mutex mutex_;
  std::size_t residents_ = 0;
  std::list<PooledFile*> recent_;  // newest first
};

// A file known to a pool.
class PooledFile {
 public:
  PooledFile(std::filesystem::path file, bool map, std::shared_ptr<FilePool> pool);
  ~PooledFile();
  PooledFile(const PooledFile&) = delete;
  PooledFile& operator=(const PooledFile&) = delete;

  const std::filesystem::path& path() const { return file_; }
  std::uint64_t bytes() const { return bytes_; }
  // The map of a file that stays open; null: take a pin.
  const std::byte* resident_map() const { return resident_map_.load(std::memory_order_acquire); }
  // The open file, which stays so while the pin lives. Throws Error(data) when it cannot be opened, or has changed.
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
