// Writes a snapshot as safetensors files. Makes no collective call, so that a thread of its own may run it.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "distributed/checkpoint/snapshot.h"

namespace polyhead {

// Returns the names of the files and their xxh3-64, 16 hexadecimal digits each. Throws Error(cannot_write).
std::map<std::string, std::string> write_snapshot(const std::filesystem::path& folder, const Snapshot& snapshot);

}  // namespace polyhead
