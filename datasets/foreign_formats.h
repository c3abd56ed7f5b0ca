// Files that people have and import does not read: each is known by its first bytes, and named with the way out.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace polyhead {

// What a file is and how to convert it ("is Parquet, …; convert it: …"); "" for text. `head` holds up to 512 bytes of
// the file.
std::string foreign_format(std::string_view head, const std::filesystem::path& file);

}  // namespace polyhead
