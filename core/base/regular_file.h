// A regular file that stays readable while it is open, even if it is renamed or removed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace polyhead {

class RegularFile {
 public:
  // Throws Error(data) naming the file when it is missing or is not a regular file (a folder, a device, a pipe), and
  // Error(internal) when this process cannot open more files.
  explicit RegularFile(const std::filesystem::path& file);
  RegularFile(RegularFile&& other) noexcept;
  ~RegularFile();
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;
  RegularFile& operator=(RegularFile&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }  // bytes, at the time of opening

  // Returns the first `bytes` bytes, or the whole file. Throws Error(data) when the file cannot be read, ends early, or
  // does not fit into memory.
  std::string read(std::uint64_t bytes = std::numeric_limits<std::uint64_t>::max()) const;
  // Returns xxh3-64 of the file's bytes, which are read in pieces. Throws Error(data).
  std::uint64_t hash() const;

 private:
  void each_piece(std::uint64_t bytes, const std::function<void(std::string_view)>& take) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace polyhead
