// The files are read whole: libraries that differ may have the same version.
#include "launch/fingerprint.h"

#include <link.h>

#include <ATen/Version.h>
#include <ATen/cpu/Utils.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/hash.h"

namespace polyhead {
namespace {

std::uint64_t hash_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(Exit::data, path + ": cannot be read, which run.reproducible = world needs for its hash");
  std::string piece(1 << 20, '\0');
  std::uint64_t hash = 0;
  while (file.read(piece.data(), std::ssize(piece)) || file.gcount() > 0)
    hash = hash_bytes(std::string_view(piece.data(), static_cast<std::size_t>(file.gcount())), hash);
  return hash;
}

// The executable, LibTorch and the mathematics library.
std::string program_hash() {
  std::vector<std::string> files = {"/proc/self/exe"};
  dl_iterate_phdr(
      [](dl_phdr_info* library, std::size_t, void* out) {
        const std::string path = library->dlpi_name, name = path.substr(path.rfind('/') + 1);
        if (name.starts_with("libtorch") || name.starts_with("libm.") || name.starts_with("libgomp"))
          static_cast<std::vector<std::string>*>(out)->push_back(path);
        return 0;
      },
      &files);
  std::string hashes;
  for (const std::string& file : files) hashes += to_hex(hash_of_file(file));
  return to_hex(hash_bytes(hashes));
}

// The first values of these lines of /proc/cpuinfo.
std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  std::string found;
  for (std::string line; std::getline(file, line) && !line.empty();)
    for (const char* name : {"vendor_id\t", "cpu family\t", "model\t", "CPU implementer\t", "CPU part\t"})
      if (line.starts_with(name)) found += line.substr(line.find(':') + 1);
  return found.empty() ? "unknown" : found.substr(1);
}

std::string instructions() {
  std::string found = at::get_cpu_capability();
  for (const char* name : {"MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "ONEDNN_MAX_CPU_ISA",
                           "DNNL_MAX_CPU_ISA", "GLIBC_TUNABLES"})
    if (const char* value = std::getenv(name)) found += std::string(", ") + name + "=" + value;
  return found;
}

}  // namespace

Fingerprint fingerprint(int threads) {
  return {{"program", program_hash()},
          {"processor", processor()},
          {"instructions", instructions()},
          {"threads", std::to_string(threads)}};
}

}  // namespace polyhead
