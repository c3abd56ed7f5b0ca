// Reads /proc to identify processes.
#include "launch/process_id.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/host.h"
#include "launch/launcher.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Returns boot id and pid namespace, within which process numbers are comparable.
std::string viewpoint() {
  std::error_code error;
  const std::string space = fs::read_symlink("/proc/self/ns/pid", error).string();
  return content_of("/proc/sys/kernel/random/boot_id").substr(0, 13) + "/" + space + "/";
}

// Returns field 22 of /proc/PID/stat, the ticks from boot to the start of the process; "" if there is no such process,
// or if it is a zombie.
std::string ticks_of(int pid) {
  const std::string text = content_of(fmt::format("/proc/{}/stat", pid));
  std::size_t at = text.rfind(')');
  if (at == std::string::npos || text.substr(at, 3) == ") Z") return "";
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = text.find(' ', at + 1);
  return at == std::string::npos ? "" : text.substr(at + 1, text.find(' ', at + 1) - at - 1);
}

std::string start_of(const std::string& ticks) {
  double up = 0;
  std::ifstream("/proc/uptime") >> up;
  const double age = up - std::strtod(ticks.c_str(), nullptr) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr) - static_cast<std::time_t>(age)));
}

}  // namespace

ProcessId own_process() {
  const std::string ticks = ticks_of(getpid());
  return {host_name(), getpid(), start_of(ticks), viewpoint() + ticks};
}

Life life_of(const ProcessId& process) {
  const std::string here = viewpoint();
  if (process.host != host_name() || process.pid <= 0 || !process.mark.starts_with(here)) return Life::unknown;
  return ticks_of(process.pid) == process.mark.substr(here.size()) ? Life::running : Life::gone;
}

std::string describe(const ProcessId& process) {
  return fmt::format("process {} on {}, started {}", process.pid, process.host, process.start);
}

}  // namespace polyhead
