// The files are read whole: libraries that differ may have the same version.
#include "launch/fingerprint.h"

#include <link.h>

#include <ATen/Version.h>
#include <ATen/cpu/Utils.h>

#include <cstdlib>
#include <fstream>

#include "core/base/files.h"
#include "core/base/hash.h"

namespace polyhead {
namespace {

// The executable, LibTorch and the mathematics library.
std::string program_hash() {
  std::string hashes = to_hex(hash_bytes(read_file("/proc/self/exe")));
  dl_iterate_phdr(
      [](dl_phdr_info* library, std::size_t, void* out) {
        const std::string path = library->dlpi_name, name = path.substr(path.rfind('/') + 1);
        if (name.starts_with("libtorch") || name.starts_with("libm.") || name.starts_with("libgomp"))
          *static_cast<std::string*>(out) += to_hex(hash_bytes(read_file(path)));
        return 0;
      },
      &hashes);
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
