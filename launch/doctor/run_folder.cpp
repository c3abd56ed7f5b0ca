// Checks where runs are written: free space, the time of fsync, and whether all hosts see the same folder.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "core/base/host.h"
#include "launch/doctor/doctor.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

// Returns the folder, or its nearest parent that exists.
fs::path existing(fs::path folder) {
  std::error_code none;
  while (!fs::exists(folder, none) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

// Returns the milliseconds of each write and fsync of 4 KiB to a temporary file; empty with errno set after an error.
std::vector<double> time_sync(const fs::path& file, int times) {
  std::vector<double> took;
  const int handle = open(file.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (handle < 0) return took;
  const std::string block(4096, 'x');
  int error = 0;
  for (int i = 0; i < times && error == 0; ++i) {
    const auto began = std::chrono::steady_clock::now();
    errno = ENOSPC;  // in case of a short write
    if (write(handle, block.data(), block.size()) != static_cast<ssize_t>(block.size()) || fsync(handle) != 0)
      error = errno;
    took.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
  }
  close(handle);
  unlink(file.c_str());
  if (error != 0) took.clear(), errno = error;
  return took;
}

}  // namespace

std::vector<Finding> look_at_run_folder(const fs::path& folder, Communicator& world) {
  Finding finding{.subject = "run folder"};
  const fs::path place = existing(folder);
  const std::string where =
      place == folder ? folder.string() : fmt::format("{} (for {})", place.string(), folder.string());
  struct statvfs room = {};
  if (statvfs(place.c_str(), &room) == 0) {
    const std::uint64_t free = room.f_bavail * room.f_frsize;
    finding.values["free"] = free;
    finding.text = fmt::format("{}: {} MiB free", where, free >> 20);
    if (free < 1ULL << 30) {
      finding.verdict = Verdict::warning;
      finding.cure =
          "checkpoints need disk space: free some, keep fewer checkpoints (run.keep), or choose another --run-dir";
    }
  }
  std::vector<double> took = time_sync(place / fmt::format(".doctor-{}-{}", host_name(), getpid()), 9);
  if (took.empty()) {
    finding.verdict = Verdict::fault;
    finding.text = fmt::format("{} cannot be written: {}", where, std::strerror(errno));
    finding.cure = "choose another --run-dir, or check its owner, its quota and whether it is mounted read-only";
  } else {
    std::ranges::sort(took);
    finding.values["fsync_ms"] = took[took.size() / 2];
    finding.values["fsync_worst_ms"] = took.back();
    finding.text += fmt::format(", fsync {:.3g} ms (worst {:.3g})", took[took.size() / 2], took.back());
    if (finding.verdict == Verdict::ok && took[took.size() / 2] > 100) {
      finding.verdict = Verdict::warning;
      finding.cure =
          "a checkpoint syncs every file: save checkpoints less often (run.checkpoint_every), or use faster disks";
    }
  }

  // Rank 0 creates a file there that all workers must find.
  std::string name = fmt::format(".doctor-shared-{}-{}", host_name(), getpid());
  name = world.all_gather_strings("doctor.name", name)[0];
  int handle = -1;
  if (world.rank() == 0) handle = open((place / name).c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  std::vector<std::int64_t> written = {handle >= 0 ? 1 : 0};
  world.all_reduce("doctor.written", written, Reduce::max);
  std::error_code none;
  if (written[0] == 1 && !fs::exists(place / name, none)) {
    finding.verdict = Verdict::fault;
    finding.text += ", not the folder that worker 0 sees";
    finding.cure = "put --run-dir on a file system that all hosts share";
  }
  world.barrier("doctor.looked");
  if (handle >= 0) {
    close(handle);
    unlink((place / name).c_str());
  }
  return {finding};
}

}  // namespace polyhead
