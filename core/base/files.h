// Files that are either complete or absent: they are written to a temporary file, synced and renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace polyhead {

// Returns the content of the file. Throws Error(data) with the system's reason.
std::string read_file(const std::filesystem::path& file);
// Writes FILE.tmp, syncs it, renames it to FILE and syncs the folder. Throws Error(cannot_write).
void write_file_atomically(const std::filesystem::path& file, std::string_view content);
// Calls fsync on a file or folder. Throws Error(cannot_write).
void sync_path(const std::filesystem::path& path);
// Renames a file, replacing `to` if it exists, and syncs the folder. Throws Error(cannot_write).
void rename_and_sync(const std::filesystem::path& from, const std::filesystem::path& to);

// SHA-256 (FIPS 180-4) in hexadecimal digits.
std::string sha256(std::string_view bytes);
std::string sha256_file(const std::filesystem::path& file);

// A file that is written in pieces. It is called FILE.tmp until commit(), which syncs and renames it. Without commit()
// it is removed. Throws Error(cannot_write).
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& file);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::span<const std::byte> bytes);
  void write(std::string_view bytes) { write(std::as_bytes(std::span(bytes))); }
  void commit();

 private:
  std::filesystem::path file_, temporary_;
  int descriptor_ = -1;
};

}  // namespace polyhead
