// Checks that all workers see a file of worker 0, that each can create, write and rename a folder, and that the disk
// has room.
#include "distributed/checkpoint/preflight.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <numeric>
#include <system_error>
#include <thread>

#include "core/balancing/balancer.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/progress.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCure =
    "choose another --run-dir, or check its owner, its quota and whether it is mounted read-only";

// The folder is listed because that makes a client of a network file system ask the server again.
bool sees(const fs::path& file, double patience) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(patience);
  for (;;) {
    std::error_code code;
    for (const fs::directory_entry& entry : fs::directory_iterator(file.parent_path(), code))
      if (entry.path().filename() == file.filename()) return true;
    if (std::chrono::steady_clock::now() > end) return false;
    note_progress();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

// Throws on all workers the error of the first one that has an error. Collective.
void agree(const std::string& name, const std::string& wrong, Exit code, const std::string& host, Communicator& world) {
  const std::string mine = wrong.empty() ? "" : fmt::format("worker {} on {}: {}", world.rank(), host, wrong);
  const std::vector<std::string> all = world.all_gather_strings(name, mine);
  const auto first = std::ranges::find_if(all, [](const std::string& one) { return !one.empty(); });
  if (first == all.end()) return;
  const auto others = std::ranges::count_if(all, [](const std::string& one) { return !one.empty(); }) - 1;
  throw Error(code, fmt::format("{}{}", *first, others == 0 ? "" : fmt::format(" (and {} other workers)", others)));
}

void remove_quietly(const fs::path& path) {
  std::error_code code;
  fs::remove_all(path, code);
}

void try_shared(const fs::path& run_dir, double patience, const std::string& host, Communicator& world) {
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  const std::string name =
      world.all_gather_strings("preflight.token", fmt::format(".polyhead-shared-{}-{:x}", ::getpid(), now)).front();
  const fs::path token = run_dir / name;
  std::string wrong;
  if (world.rank() == 0) try {
      write_file_atomically(token, "seen by all workers of a run\n");
    } catch (const Error& error) {
      wrong = fmt::format("{}; {}", error.what(), kCure);
    }
  try {
    agree("preflight.written", wrong, Exit::cannot_write, host, world);
    if (world.rank() != 0 && !sees(token, patience))
      wrong = fmt::format(
          "the run folder {} is not the one that worker 0 sees, in which checkpoints are joined: its file {} has not "
          "appeared within {:.0f} s. Put --run-dir on a file system that all hosts share",
          run_dir.string(), name, patience);
    agree("preflight.shared", wrong, Exit::config, host, world);
  } catch (...) {
    if (world.rank() == 0) remove_quietly(token);
    throw;
  }
  if (world.rank() == 0) remove_quietly(token);
}

// Does what publishing a checkpoint does: creates a folder, writes to it and renames it.
std::string try_writing(const fs::path& run_dir, int rank) {
  const fs::path parent = run_dir / "checkpoints", probe = parent / fmt::format(".polyhead-probe-{}", rank),
                 renamed = parent / fmt::format(".polyhead-probed-{}", rank);
  std::string wrong;
  std::error_code code;
  try {
    fs::create_directories(parent, code);
    if (code) return fmt::format("cannot create the folder {}: {}; {}", parent.string(), code.message(), kCure);
    remove_quietly(probe);
    remove_quietly(renamed);
    if (!fs::create_directory(probe, code))
      return fmt::format("cannot create a folder in {}: {}; {}", parent.string(), code.message(), kCure);
    write_file_atomically(probe / "file", std::string(4096, 'x'));
    rename_and_sync(probe, renamed);
    remove_quietly(renamed);
  } catch (const Error& error) {
    remove_quietly(probe);
    wrong = fmt::format("{}; {}", error.what(), kCure);
  }
  return wrong;
}

std::string try_limit(const CheckpointNeeds& needs) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= needs.largest_file)
    return "";
  return fmt::format(
      "a file of a checkpoint takes {}, but the limit on the size of a file is {} here (ulimit -f). Raise the limit "
      "with ulimit -f unlimited",
      readable_bytes(needs.largest_file), readable_bytes(limit.rlim_cur));
}

// Returns the bytes of the existing checkpoints, which later ones replace.
std::uint64_t bytes_in(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code code;
  for (auto entry = fs::recursive_directory_iterator(folder, code); entry != fs::recursive_directory_iterator();
       entry.increment(code)) {
    if (code) break;
    if (const auto size = entry->file_size(code); !code) bytes += size;
  }
  return bytes;
}

std::string try_room(const fs::path& run_dir, const CheckpointNeeds& needs) {
  struct statvfs room = {};
  if (::statvfs(run_dir.c_str(), &room) != 0) return "";
  const std::uint64_t all = needs.checkpoint * static_cast<std::uint64_t>(needs.count),
                      there = bytes_in(run_dir / "checkpoints"), free = std::uint64_t{room.f_bavail} * room.f_frsize;
  if (there + free >= all) return "";
  return fmt::format(
      "the run folder {} has {} free, but needs room for {} checkpoints of {} (run.keep, run.best and the one that is "
      "being written), of which {} are there already. Make room, lower run.keep, or choose another --run-dir",
      run_dir.string(), readable_bytes(free), needs.count, readable_bytes(needs.checkpoint), readable_bytes(there));
}

}  // namespace

std::string readable_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  const auto kibibytes = static_cast<double>(bytes) / 1024;
  if (kibibytes < 1024) return fmt::format("{:.1f} KiB", kibibytes);
  if (kibibytes < 1024 * 1024) return fmt::format("{:.1f} MiB", kibibytes / 1024);
  return fmt::format("{:.1f} GiB", kibibytes / (1024 * 1024));
}

CheckpointNeeds checkpoint_needs(const TrainOptions& options, const Model& model, const std::vector<std::size_t>& led,
                                 Communicator& world) {
  const torch::Tensor shared = model.encoder().arena().values();
  const std::int64_t width = shared.element_size(), encoder = shared.numel();
  std::vector<std::int64_t> heads(options.tasks.size(), 0);
  for (const std::size_t task : led) heads.at(task) = model.head(task).arena().values().numel();
  world.all_reduce("checkpoint.sizes", heads);
  const std::int64_t all = std::accumulate(heads.begin(), heads.end(), encoder),
                     largest = std::max(encoder, std::ranges::max(heads));
  // A checkpoint has the parameters, two moments, and the average; the largest file has the two moments.
  const auto balancer = make_balancer(options.balancer, options.tasks, options.seed);
  const std::int64_t buffers =
      balancer->buffer(1).kind == TaskBuffer::Kind::none ? 0 : encoder * std::ssize(options.tasks);
  return {.checkpoint = static_cast<std::uint64_t>(width * (all * (options.optimizer.ema > 0 ? 4 : 3) + buffers)),
          .largest_file = static_cast<std::uint64_t>(width * largest * 2),
          .count = options.keep + 1 + std::ssize(options.validation.best_values())};
}

void try_run_folder(const fs::path& run_dir, const CheckpointNeeds& needs, double patience, const std::string& host,
                    Communicator& world) {
  try_shared(run_dir, patience, host, world);
  agree("preflight.write", try_writing(run_dir, world.rank()), Exit::cannot_write, host, world);
  if (world.rank() == 0) ::rmdir((run_dir / "checkpoints").c_str());  // succeeds only if it is empty
  std::string wrong = try_limit(needs);
  if (wrong.empty() && world.rank() == 0) wrong = try_room(run_dir, needs);
  agree("preflight.room", wrong, Exit::cannot_write, host, world);
}

}  // namespace polyhead
