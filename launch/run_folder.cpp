// Checks, creates and reads a run's folder.
#include "launch/run_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/files.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

void make_folder(const fs::path& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code)
    throw Error(Exit::cannot_write, fmt::format("cannot create the folder {}: {}", folder.string(), code.message()));
}

// Files of a start that ended before the run began: temporary files, the lock, and the watchdog's address.
bool left_by_start(const std::string& name) {
  return name == "logs" || name == "status.json" || name == "run.lock" || name.starts_with(".watchdog-") ||
         name.starts_with(".run.lock-") || name.starts_with(".polyhead-") || name.starts_with("config.ini.tmp") ||
         name.starts_with("status.json.tmp");
}

void remove_temporary_files(const fs::path& folder) {
  std::error_code code;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, code))
    if (const std::string name = entry.path().filename().string();
        name.starts_with("config.ini.tmp") || name.starts_with(".polyhead-"))
      fs::remove(entry.path(), code);
}

}  // namespace

FolderState check_run_folder(const Config& config) {
  const fs::path folder = config.path("run.run_dir");
  std::error_code code;
  if (!fs::exists(folder, code)) return FolderState::fresh;
  if (!fs::is_directory(folder, code))
    throw Error(Exit::config,
                fmt::format("the run folder {} is a file; choose another with --run-dir", folder.string()));
  const fs::directory_iterator entries(folder, code);
  if (code)
    throw Error(Exit::config, fmt::format("cannot read the run folder {}: {}", folder.string(), code.message()));
  const auto foreign = std::find_if(begin(entries), end(entries), [](const fs::directory_entry& entry) {
    return !left_by_start(entry.path().filename().string());
  });
  const bool begun = fs::exists(folder / "config.ini", code);
  if (!begun && foreign == end(entries)) return FolderState::fresh;
  if (!begun)
    throw Error(Exit::config,
                fmt::format("the folder {} is not empty and holds no run (it has no config.ini, but {}); choose a new "
                            "folder with --run-dir",
                            folder.string(), foreign->path().filename().string()));
  if (config.text("run.resume") == "never")
    throw Error(Exit::config,
                fmt::format("the folder {} already holds a run and run.resume is never ({}); choose another with "
                            "--run-dir, resume the run with --run.resume auto, or delete the folder to start again",
                            folder.string(), config.origin("run.resume")));
  const std::vector<std::string> differing = read_run_config(folder).differences(config);
  if (!differing.empty())
    throw Error(Exit::config,
                fmt::format("the folder {} holds a run of another configuration: {}. Give the same values to resume it "
                            "('polyhead train --run-dir {}' alone does), or choose another folder with --run-dir; a "
                            "new run there can start from this run's weights with --init-from {}",
                            folder.string(), fmt::join(differing, "; "), folder.string(), folder.string()));
  return FolderState::holds_run;
}

void begin_run_folder(const Config& config) {
  const fs::path folder = config.path("run.run_dir");
  make_folder(folder);
  remove_temporary_files(folder);
  write_file_atomically(folder / "config.ini", config.ini());
}

Config read_run_config(const fs::path& run_dir) {
  std::error_code code;
  if (!fs::exists(run_dir / "config.ini", code))
    throw Error(Exit::config,
                fmt::format("the folder {} holds no run: it has no config.ini; give the folder that polyhead train was "
                            "given as --run-dir",
                            run_dir.string()));
  return read_config(train_options(), run_dir / "config.ini");
}

}  // namespace polyhead
