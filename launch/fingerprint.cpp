// With run.reproducible = world the libraries are hashed completely; otherwise their versions and build ids are used.
#include "launch/fingerprint.h"

#include <link.h>

#include <ATen/Version.h>
#include <ATen/cpu/Utils.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/model/torch_library.h"
#include "datasets/hdf5_library.h"
#include "distributed/communicator/libraries.h"

namespace polyhead {
namespace {

std::uint64_t hash_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(Exit::data, path + ": cannot be read, which the comparison of the workers needs for its hash");
  std::string piece(1 << 20, '\0');
  std::uint64_t hash = 0;
  while (file.read(piece.data(), std::ssize(piece)) || file.gcount() > 0)
    hash = hash_bytes(std::string_view(piece.data(), static_cast<std::size_t>(file.gcount())), hash);
  return hash;
}

// Returns a hash of the executable, LibTorch, and the mathematics and OpenMP libraries.
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

// Returns the GNU build id in the notes of a loaded library; "" if it has none.
std::string build_id(const dl_phdr_info& library) {
  for (int i = 0; i < library.dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = library.dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    const char* at = reinterpret_cast<const char*>(library.dlpi_addr + header.p_vaddr);
    const char* const end = at + header.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) note = {};
      std::memcpy(&note, at, sizeof note);
      const char* name = at + sizeof note;
      const char* content = name + (note.n_namesz + 3) / 4 * 4;
      at = content + (note.n_descsz + 3) / 4 * 4;
      if (at > end) break;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0)
        return to_hex(hash_bytes(content, note.n_descsz));
    }
  }
  return "";
}

// Returns the build ids of the libraries that compute or transfer numbers.
std::map<std::string, std::string> build_ids() {
  std::map<std::string, std::string> found;
  dl_iterate_phdr(
      [](dl_phdr_info* library, std::size_t, void* out) {
        const std::string path = library->dlpi_name, name = path.substr(path.rfind('/') + 1);
        for (const char* known : {"libtorch_cpu", "libtorch_cuda", "libc10", "libm.", "libgomp", "libmpi.", "libnccl"})
          if (name.starts_with(known))
            if (const std::string id = build_id(*library); !id.empty())
              (*static_cast<std::map<std::string, std::string>*>(out))[name] = id;
        return 0;
      },
      &found);
  return found;
}

// Returns the first values of these lines in /proc/cpuinfo.
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

Fingerprint program_facts() {
  Fingerprint facts = {{"program", to_hex(hash_of_file("/proc/self/exe"))}, {"instructions", instructions()}};
  std::vector<Library> libraries = {torch_library(), mpi_library(), hdf5_library()};
  for (Library& library : device_libraries()) libraries.push_back(std::move(library));
  for (const Library& library : libraries)
    facts[library.name] = library.loaded.empty() ? library.compiled : library.loaded;
  facts.merge(build_ids());
  return facts;
}

Fingerprint fingerprint(int threads) {
  return {{"program", program_hash()},
          {"processor", processor()},
          {"instructions", instructions()},
          {"threads", std::to_string(threads)}};
}

}  // namespace polyhead
