// The file with a machine's figures, which `polyhead plan --calibrate` writes and `plan --machine` reads.
#pragma once

#include <filesystem>
#include <string>

#include "distributed/planning/plan.h"

namespace polyhead {

// Throws Error(config) with file and line for a key that is unknown or out of range. Missing figures keep their
// defaults.
Machine read_machine(const std::filesystem::path& file);
// comment: first line of the file. Throws Error(cannot_write).
void write_machine(const std::filesystem::path& file, const Machine& machine, const std::string& comment);

}  // namespace polyhead
