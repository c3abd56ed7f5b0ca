// Detects changes of the files of an open data set. A file is registered when its shard is opened; later its content is
// compared if it may have been written or replaced.
#pragma once

#include <filesystem>
#include <string>

namespace polyhead {

// Registers an open file with the SHA-256 of its content; "": not known. If a file is registered again, the last call
// counts. Thread-safe, as the next function is.
void know_content(const std::filesystem::path& file, const std::string& sha256);

// Throws Error(data) if the file's content has changed.
// - If stat() reports the same size, times and inode as before, nothing is read.
// - Otherwise the content is hashed once and compared, so a file that was only touched is accepted.
// - Without a known SHA-256, a file that was written, touched or replaced is an error.
// - A file that no longer exists or was never registered is not an error here.
void check_content(const std::filesystem::path& file);

}  // namespace polyhead
