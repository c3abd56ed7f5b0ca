// Recognises files in formats that import does not read, and other binary files, by their first bytes, to say how to
// convert them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace polyhead {

// Returns what a file is and how to convert it ("is Parquet, …; convert it: …"); "" for text. `head` holds up to 512
// bytes of the file.
std::string foreign_format(std::string_view head, const std::filesystem::path& file);

}  // namespace polyhead
