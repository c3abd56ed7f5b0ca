// Files that are either whole or not there: written beside, synced, renamed.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace polyhead {

// The whole file; throws Error(data) with the system's reason.
std::string read_file(const std::filesystem::path& file);
// Writes FILE.tmp, syncs it, renames it to FILE and syncs the folder; throws Error(cannot_write).
void write_file_atomically(const std::filesystem::path& file, std::string_view content);
// fsync of a file or folder; throws Error(cannot_write).
void sync_path(const std::filesystem::path& path);
// SHA-256 in hexadecimal.
std::string sha256_file(const std::filesystem::path& file);

}  // namespace polyhead
