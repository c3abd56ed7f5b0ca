// Which content the files of an open data set have: registered when a shard is opened, compared when its file looks as
// if it had been written or replaced since.
#pragma once

#include <filesystem>
#include <string>

namespace polyhead {

// The file is open from now on, and its content has this SHA-256; "": that is not known. One file may be registered
// again; the last call counts. Thread-safe, as the next one.
void know_content(const std::filesystem::path& file, const std::string& sha256);

// One call of stat, and where size, times and inode are as they were nothing more. Else the content is read and
// compared once, so that a file that was only touched stays the same file. Throws Error(data) where the content is
// another, or where no SHA-256 is known and the file was written, touched or replaced. A file that is gone, or was
// never registered, is no error here.
void check_content(const std::filesystem::path& file);

}  // namespace polyhead
