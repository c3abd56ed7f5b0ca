// Writes a snapshot as safetensors files. It makes no collective calls, so it may run in a separate thread.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "distributed/checkpoint/snapshot.h"

namespace polyhead {

// Returns xxh3-64 of each file, as 16 hexadecimal digits, by the file's name. Throws Error(cannot_write).
std::map<std::string, std::string> write_snapshot(const std::filesystem::path& folder, const Snapshot& snapshot);

}  // namespace polyhead
