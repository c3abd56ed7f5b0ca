// The files of RUN/checkpoints that name checkpoints: `latest`, `best`, and, if run.best has several values,
// `best-VALUE` of each, such as best-section:accuracy.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace polyhead {

// Whether the path exists, be it as a link to nothing.
bool there(const std::filesystem::path& path);

// Returns the name in such a file; "" if there is none.
std::string pointed_to(const std::filesystem::path& file);

// Returns these files, whether they exist or not. parent: RUN/checkpoints.
std::vector<std::filesystem::path> pointers_in(const std::filesystem::path& parent);

// Returns the file for "best", "best:VALUE" or "best:TASK", where TASK has one value. Throws Error(config), which lists
// the values, if there is none.
std::filesystem::path best_pointer(const std::filesystem::path& run_dir, const std::string& which);

}  // namespace polyhead
