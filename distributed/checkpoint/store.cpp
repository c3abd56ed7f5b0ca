// Lists, finds, publishes and purges the checkpoints of a run.
#include "distributed/checkpoint/store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "distributed/checkpoint/pointers.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr int kTries = 40;  // attempts to read a folder while its checkpoints are removed
constexpr std::chrono::milliseconds kPause{25};
constexpr const char* kDamaged = ".damaged";

bool is_folder(const fs::path& path) {  // not a link to one
  std::error_code error;
  return fs::symlink_status(path, error).type() == fs::file_type::directory;
}

// Returns whether the program gives this name to a file in a checkpoint's folder.
bool written_name(std::string name) {
  if (name.ends_with(".tmp")) name.resize(name.size() - 4);
  return name == "state.json" ||
         ((name.starts_with("encoder.") || name.starts_with("head.")) && name.ends_with(kWeightsFile));
}

// The content of a checkpoint's folder.
struct Content {
  std::vector<fs::path> written;  // by the program: regular files with such names
  std::vector<fs::path> others;
};

Content content_of(const fs::path& folder) {
  Content content;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    const bool regular = at->symlink_status(ignored).type() == fs::file_type::regular;
    (regular && written_name(at->path().filename().string()) ? content.written : content.others).push_back(at->path());
  }
  return content;
}

// Removes what the program wrote, and the folder when nothing else is in it.
bool remove_written(const fs::path& folder) {
  std::error_code error;
  for (const fs::path& file : content_of(folder).written) fs::remove(file, error);
  return fs::remove(folder, error);
}

// Part of the name of a folder to be written or deleted, so that no two processes use the same name.
std::string token() {
  return fmt::format("{:08x}", std::random_device{}());
}

// "step-000120.tmp-1a2b3c4d", ".deleted-…", or, from earlier versions, "step-000120.tmp".
bool temporary(const std::string& name) {
  const std::size_t dot = name.find('.');
  if (dot == std::string::npos || !checkpoint_step(name.substr(0, dot))) return false;
  const std::string ending = name.substr(dot);
  return ending == ".tmp" || ending.starts_with(".tmp-") || ending.starts_with(".deleted-");
}

// Returns a name that is not used: FOLDER + ending, otherwise with -2, -3 …
fs::path free_name(const fs::path& folder, const std::string& ending) {
  fs::path name = folder.string() + ending;
  for (int i = 2; there(name); ++i) name = fmt::format("{}{}-{}", folder.string(), ending, i);
  return name;
}

// Renames a damaged folder, and returns a message that says what was done.
std::string set_aside(const fs::path& folder, const std::string& ending) {
  const fs::path aside = free_name(folder, ending);
  std::error_code error;
  fs::rename(folder, aside, error);
  if (error) return fmt::format("it cannot be renamed to {}: {}", aside.filename().string(), error.message());
  return fmt::format("it was renamed to {}; delete it if it is not needed", aside.filename().string());
}

CheckpointSignature signature_of(const fs::path& folder) {
  CheckpointSignature signature;
  for (const fs::path& file : content_of(folder).written) {
    struct stat found {};
    if (::stat(file.c_str(), &found) != 0) continue;
    signature[file.filename().string()] = {found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec,
                                           static_cast<std::int64_t>(found.st_ino)};
  }
  return signature;
}

// Opens and verifies a checkpoint. Throws Error(data) naming the file and what differs.
std::unique_ptr<FoundCheckpoint> open_whole(const fs::path& folder) {
  CheckpointSignature signature = signature_of(folder);
  auto files = std::make_shared<const CheckpointFiles>(folder);
  files->verify();
  return std::make_unique<FoundCheckpoint>(FoundCheckpoint{folder, files->state(), files, std::move(signature)});
}

struct Damaged {
  fs::path folder;
  std::string what;
  bool fits = true;  // false: it is whole, but belongs to another run
};

// Returns the newest whole checkpoint, or null, and in `damaged` the newer ones.
std::unique_ptr<FoundCheckpoint> newest_of(const fs::path& run_dir,
                                           const std::function<void(const CheckpointState&)>& fits,
                                           std::vector<Damaged>& damaged) {
  for (int tries = 1;; ++tries) {
    damaged.clear();
    bool vanished = false;
    for (const fs::path& folder : checkpoints(run_dir)) {
      try {
        auto found = open_whole(folder);
        try {
          if (fits) fits(found->state);
        } catch (const Error& error) {
          damaged.push_back({folder, error.what(), false});
          continue;
        }
        return found;
      } catch (const Error& error) {
        if (error.code() != Exit::data) throw;
        if (there(folder))
          damaged.push_back({folder, error.what()});
        else
          vanished = true;
      }
    }
    // `latest` is written after the checkpoint that it names, so there is or was a checkpoint.
    vanished = vanished || (damaged.empty() && !pointed_to(run_dir / "checkpoints" / "latest").empty());
    if (!vanished || tries == kTries) return nullptr;
    std::this_thread::sleep_for(kPause);
  }
}

[[noreturn]] void none_is_whole(const fs::path& run_dir, const std::vector<Damaged>& damaged) {
  throw Error(Exit::data, fmt::format("{}: no checkpoint is whole; the newest: {}. Train again in another run folder",
                                      (run_dir / "checkpoints").string(), damaged.front().what));
}

}  // namespace

std::vector<fs::path> checkpoints(const fs::path& run_dir) {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  // A single listing may miss both a checkpoint that is being removed and the one that has just been published.
  for (int tries = 0; tries < 3 && found.empty(); ++tries) {
    std::error_code error;
    for (fs::directory_iterator at(run_dir / "checkpoints", error), end; !error && at != end; at.increment(error))
      if (const auto step = checkpoint_step(at->path().filename().string()); step && is_folder(at->path()))
        if (!content_of(at->path()).written.empty()) found.emplace_back(*step, at->path());
  }
  std::ranges::sort(found, std::greater{});
  std::vector<fs::path> folders;
  for (auto& [step, folder] : found) folders.push_back(std::move(folder));
  return folders;
}

std::unique_ptr<FoundCheckpoint> find_checkpoint(const fs::path& run_dir, std::vector<std::string>& warnings) {
  std::vector<Damaged> damaged;
  auto found = newest_of(run_dir, nullptr, damaged);
  if (!found && !damaged.empty()) none_is_whole(run_dir, damaged);
  for (const Damaged& one : damaged) warnings.push_back(one.what);
  return found;
}

std::unique_ptr<FoundCheckpoint> choose_checkpoint(const fs::path& run_dir, const std::string& which,
                                                   std::vector<std::string>& warnings) {
  if (which == "latest" || checkpoints(run_dir).empty()) return find_checkpoint(run_dir, warnings);
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), step);
  const bool number = error == std::errc() && end == which.data() + which.size();
  const bool by_value = which == "best" || which.starts_with("best:");
  const fs::path best = by_value ? best_pointer(run_dir, which) : fs::path();
  std::vector<std::string> names;
  for (int tries = 1; tries <= kTries; ++tries) {
    const std::string name = by_value ? pointed_to(best) : number ? checkpoint_name(step) : "";
    names.clear();
    for (const fs::path& folder : checkpoints(run_dir)) {
      names.push_back(folder.filename().string());
      if (names.back() != name) continue;
      try {
        return open_whole(folder);
      } catch (const Error&) {
        if (there(folder)) throw;
      }
    }
    if (!by_value) break;
    std::this_thread::sleep_for(kPause);  // a better one may be replacing it
  }
  throw Error(Exit::config, fmt::format("{}: it holds no checkpoint '{}'; give latest, best or the step of one of {}",
                                        run_dir.string(), which, fmt::join(names, ", ")));
}

std::vector<std::string> dangling_names(const fs::path& run_dir) {
  std::vector<std::string> faults;
  for (const fs::path& file : pointers_in(run_dir / "checkpoints")) {
    if (!there(file)) continue;
    std::string name = pointed_to(file);
    for (int tries = 1; tries < kTries && !(checkpoint_step(name) && is_folder(file.parent_path() / name)); ++tries) {
      std::this_thread::sleep_for(kPause);  // a training that runs now may be about to change it
      name = pointed_to(file);
    }
    if (!checkpoint_step(name) || !is_folder(file.parent_path() / name))
      faults.push_back(fmt::format("{}: it names '{}', which is not an existing checkpoint", file.string(), name));
  }
  return faults;
}

void check_checkpoint_folder(const fs::path& run_dir) {
  const fs::path parent = run_dir / "checkpoints";
  const auto fail = [&](const fs::path& path, const char* found, const char* expected) {
    throw Error(Exit::cannot_write,
                fmt::format("no checkpoint could be saved: {} is {}, expected {}; rename it, or choose another run "
                            "folder with --run-dir",
                            path.string(), found, expected));
  };
  std::error_code error;
  if (!there(parent)) return;
  if (!fs::is_directory(parent, error)) fail(parent, "not a folder", "a folder, or nothing");
  for (const fs::path& pointer : pointers_in(parent))
    if (is_folder(pointer)) fail(pointer, "a folder", "a file with the name of a checkpoint");
}

CheckpointStore::CheckpointStore(fs::path run_dir) : run_dir_(std::move(run_dir)), parent_(run_dir_ / "checkpoints") {}

std::unique_ptr<FoundCheckpoint> CheckpointStore::find(const std::function<void(const CheckpointState&)>& fits,
                                                       std::vector<std::string>& warnings) {
  std::vector<Damaged> damaged;
  auto found = newest_of(run_dir_, fits, damaged);
  if (!found && !damaged.empty()) none_is_whole(run_dir_, damaged);
  for (const Damaged& one : damaged)
    warnings.push_back(one.fits ? fmt::format("{}; {}", one.what, set_aside(one.folder, kDamaged)) : one.what);
  if (found) note_whole(*found);
  return found;
}

fs::path CheckpointStore::begin(std::int64_t step) {
  std::error_code error;
  for (fs::directory_iterator at(parent_, error), end; !error && at != end; at.increment(error))
    if (temporary(at->path().filename().string()) && is_folder(at->path())) remove_written(at->path());
  const fs::path beside = parent_ / (checkpoint_name(step) + ".tmp-" + token());
  error.clear();
  fs::create_directories(beside, error);
  if (error)
    throw Error(Exit::cannot_write,
                fmt::format("the folder {} cannot be created: {}", beside.string(), error.message()));
  return beside;
}

void CheckpointStore::discard(const fs::path& beside) noexcept {
  try {
    remove_written(beside);
  } catch (const std::exception&) {  // there was no memory for a name; the next save removes the folder
  }
}

namespace {

// Renames `beside` to `folder` and syncs. There may already be a checkpoint of this step, if the run was resumed from
// an earlier one, or something else with this name. Throws Error(cannot_write); `folder` is then unchanged.
void replace(const fs::path& beside, const fs::path& folder, std::vector<std::string>& warnings) {
  if (!there(folder)) {
    try {
      rename_and_sync(beside, folder);
    } catch (const Error&) {
      std::error_code error;
      if (there(folder)) fs::rename(folder, beside, error);  // it was not synced
      throw;
    }
    return;
  }
  const bool ours = is_folder(folder) && content_of(folder).others.empty();
  // Both are exchanged at once, so that neither is lost if the process ends in between; if the file system does not
  // support this, they are renamed one after the other.
  fs::path before = beside;
  if (::renameat2(AT_FDCWD, beside.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) != 0) {
    before = ours ? fs::path(folder.string() + ".deleted-" + token()) : free_name(folder, ".replaced");
    rename_and_sync(folder, before);
    rename_and_sync(beside, folder);
  }
  sync_path(folder.parent_path());
  if (ours) {
    remove_written(before);
    return;
  }
  const fs::path aside = free_name(folder, ".replaced");
  if (before == beside) rename_and_sync(before, aside);
  warnings.push_back(fmt::format("{} was in the way of a checkpoint and is renamed to {}", folder.string(),
                                 (before == beside ? aside : before).filename().string()));
}

}  // namespace

fs::path CheckpointStore::publish(const fs::path& beside, std::int64_t step,
                                  const std::map<std::string, std::int64_t>& best, std::int64_t keep,
                                  std::vector<std::string>& warnings) {
  const fs::path folder = parent_ / checkpoint_name(step);
  sync_path(beside);
  CheckpointSignature written = signature_of(beside);  // before others can see it
  replace(beside, folder, warnings);
  whole_[step] = std::move(written);
  try {
    write_file_atomically(parent_ / "latest", checkpoint_name(step) + "\n");
    for (const auto& [pointer, of] : best) point_to_best(pointer, of);
  } catch (const Error& error) {
    warnings.push_back(fmt::format("the checkpoint of step {} is saved, but: {}", step, error.what()));
    return folder;
  }
  purge(keep, warnings);
  return folder;
}

void CheckpointStore::point_to_best(const std::string& pointer, std::int64_t step) {
  const std::string name = checkpoint_name(step);
  if (step <= 0 || pointed_to(parent_ / pointer) == name) return;
  if (!known_whole(parent_ / name)) {  // it could not be saved, or was written before this process started
    try {
      note_whole(*open_whole(parent_ / name));
    } catch (const Error&) {
      return;
    }
  }
  write_file_atomically(parent_ / pointer, name + "\n");
}

void CheckpointStore::purge(std::int64_t keep, std::vector<std::string>& warnings) {
  std::set<std::string> named;
  for (const fs::path& pointer : pointers_in(parent_)) named.insert(pointed_to(pointer));
  std::int64_t whole = 0;
  for (const fs::path& folder : checkpoints(run_dir_)) {
    const std::string name = folder.filename().string();
    if (whole < std::max<std::int64_t>(1, keep)) {
      if (!known_whole(folder)) {
        try {
          note_whole(*open_whole(folder));
        } catch (const Error& error) {
          if (error.code() != Exit::data || !there(folder)) continue;
          warnings.push_back(fmt::format("a checkpoint is damaged: {}; {}", error.what(), set_aside(folder, kDamaged)));
          continue;
        }
      }
      ++whole;
    } else if (!named.contains(name)) {
      remove(folder, warnings);
    }
  }
}

void CheckpointStore::remove(const fs::path& folder, std::vector<std::string>& warnings) {
  const Content content = content_of(folder);
  const auto tell = [&](const std::string& what) {
    if (told_.insert(what).second) warnings.push_back(what);
  };
  if (!content.others.empty())
    return tell(fmt::format("{} is kept, although it is old: {} in it was not written by the program", folder.string(),
                            content.others.front().filename().string()));
  // It is renamed first, so that readers see either a whole checkpoint or none.
  const fs::path leaving = folder.string() + ".deleted-" + token();
  std::error_code error;
  fs::rename(folder, leaving, error);
  if (error) return tell(fmt::format("{} is old, but cannot be removed: {}", folder.string(), error.message()));
  whole_.erase(checkpoint_step(folder.filename().string()).value_or(-1));
  remove_written(leaving);
}

void CheckpointStore::note_whole(const FoundCheckpoint& checkpoint) {
  whole_[checkpoint.state.step] = checkpoint.signature;
}

bool CheckpointStore::known_whole(const fs::path& folder) const {
  const auto known = whole_.find(checkpoint_step(folder.filename().string()).value_or(-1));
  return known != whole_.end() && signature_of(folder) == known->second;
}

std::vector<std::string> CheckpointStore::lost() {
  std::vector<std::string> names;
  for (auto at = whole_.begin(); at != whole_.end();) {
    const std::string name = checkpoint_name(at->first);
    if (there(parent_ / name)) {
      ++at;
      continue;
    }
    names.push_back(name);
    at = whole_.erase(at);
  }
  return names;
}

bool CheckpointStore::holds(std::int64_t step) const {
  return is_folder(parent_ / checkpoint_name(step));
}

fs::path CheckpointStore::newest_whole() const {
  return whole_.empty() ? fs::path() : parent_ / checkpoint_name(whole_.rbegin()->first);
}

}  // namespace polyhead
