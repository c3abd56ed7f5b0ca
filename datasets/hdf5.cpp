// Locks HDF5, converts its error stack to one message, and opens files for reading.
#include "datasets/hdf5.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "core/base/progress.h"

namespace polyhead::hdf5 {
namespace {

std::recursive_mutex& mutex() {
  static std::recursive_mutex one;
  return one;
}

}  // namespace

Session::Session() : lock_(mutex()) {
  // A filter plugin is foreign code that a data file could load.
  static const herr_t once = H5PLset_loading_state(0);
  static_cast<void>(once);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

void fail(const char* expression, const char* file, int line) {
  std::string reasons;
  const auto collect = [](unsigned, const H5E_error2_t* entry, void* text) -> herr_t {
    auto& all = *static_cast<std::string*>(text);
    if (!all.empty()) all += " < ";
    all += entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, collect, &reasons);
  H5Eclear2(H5E_DEFAULT);
  // If the system reported an error, its reason is more useful than HDF5's call stack.
  constexpr std::string_view kSystem = "error message = '";
  if (const std::size_t at = reasons.find(kSystem); at != std::string::npos) {
    reasons.erase(0, at + kSystem.size());
    reasons.resize(std::min(reasons.find('\''), reasons.size()));
  }
  if (reasons == "Too many open files")
    reasons += "; allow this process more open files before the program starts (ulimit -n 1024)";
  throw LibraryError(Exit::data, fmt::format("HDF5 refused {} ({}:{}): {}", expression, file, line,
                                             reasons.empty() ? "no reason given" : reasons));
}

Handle open_file(const std::filesystem::path& file) {
  note_progress();
  const Handle access(POLYHEAD_HDF5(H5Pcreate(H5P_FILE_ACCESS)), H5Pclose);
  POLYHEAD_HDF5(H5Pset_file_locking(access, false, true));
  return {POLYHEAD_HDF5(H5Fopen(file.c_str(), H5F_ACC_RDONLY, access)), H5Fclose};
}

Handle open_dataset(hid_t file, const std::string& path) {
  const Handle access(POLYHEAD_HDF5(H5Pcreate(H5P_DATASET_ACCESS)), H5Pclose);
  const auto refuse = [](const char*, const char*, const char*, const char*, unsigned*, hid_t, void*) -> herr_t {
    return -1;
  };
  POLYHEAD_HDF5(H5Pset_elink_cb(access, refuse, nullptr));
  return {POLYHEAD_HDF5(H5Dopen2(file, path.c_str(), access)), H5Dclose};
}

}  // namespace polyhead::hdf5
