// Checks shared memory and the limits of this process.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <filesystem>

#include "launch/doctor/doctor.h"

namespace polyhead {
namespace {

std::string words_of(rlim_t value, bool bytes) {
  if (value == RLIM_INFINITY) return "unlimited";
  return bytes ? fmt::format("{} KiB", value >> 10) : fmt::format("{}", value);
}

// Sets the verdict `below` if the soft limit is below `needed`.
Finding limit(const char* subject, decltype(RLIMIT_NOFILE) resource, rlim_t needed, Verdict below, bool bytes,
              const std::string& cure) {
  Finding finding{.subject = subject};
  rlimit found = {};
  if (getrlimit(resource, &found) != 0) {
    finding.text = "not reported by the system";
    return finding;
  }
  finding.text = fmt::format("{} (at most {})", words_of(found.rlim_cur, bytes), words_of(found.rlim_max, bytes));
  if (found.rlim_cur != RLIM_INFINITY) finding.values["soft"] = found.rlim_cur;
  if (found.rlim_max != RLIM_INFINITY) finding.values["hard"] = found.rlim_max;
  if (found.rlim_cur < needed) finding.verdict = below, finding.cure = cure;
  return finding;
}

}  // namespace

std::vector<Finding> look_at_shared_memory(const std::filesystem::path& folder, int workers_here) {
  Finding finding{.subject = folder.string()};
  struct statvfs room = {};
  if (statvfs(folder.c_str(), &room) != 0) {
    finding.verdict = workers_here > 1 ? Verdict::fault : Verdict::warning;
    finding.text = "does not exist";
    finding.cure = fmt::format("mount it: mount -t tmpfs tmpfs {}", folder.string());
    return {finding};
  }
  const auto mib = [&](std::uint64_t blocks) { return blocks * room.f_frsize >> 20; };
  finding.text = fmt::format("{} MiB, {} free", mib(room.f_blocks), mib(room.f_bavail));
  finding.values = {{"bytes", room.f_blocks * room.f_frsize}, {"free", room.f_bavail * room.f_frsize}};
  // Docker's default is 64 MiB. Open MPI and NCCL need some for each pair of workers.
  if (workers_here > 1 && mib(room.f_bavail) < 64 * static_cast<std::uint64_t>(workers_here)) {
    finding.verdict = Verdict::warning;
    finding.cure = fmt::format(
        "{} workers of this host communicate through it: give the container more (docker run --shm-size=1g), or remove "
        "files that dead jobs left in it",
        workers_here);
  }
  return {finding};
}

std::vector<Finding> look_at_limits() {
  // Only InfiniBand pins memory.
  std::error_code none;
  const bool pins = std::filesystem::exists("/sys/class/infiniband", none) &&
                    !std::filesystem::is_empty("/sys/class/infiniband", none);
  return {
      limit(
          "memlock", RLIMIT_MEMLOCK, pins ? 64 << 20 : 0, Verdict::warning, true,
          "this host has InfiniBand, which pins memory: set ulimit -l unlimited, and LimitMEMLOCK=infinity for slurmd"),
      // A worker has at most 256 files of shards open, and sockets to the others.
      limit("nofile", RLIMIT_NOFILE, 512, Verdict::fault, false,
            "a worker opens up to 256 files of shards in addition to its sockets: set ulimit -n 4096"),
      limit("nproc", RLIMIT_NPROC, 256, Verdict::warning, false,
            "each worker starts threads for computing, reading and MPI: set ulimit -u 4096")};
}

}  // namespace polyhead
