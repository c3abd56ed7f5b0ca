// Checks and exchanges before the first NCCL call.
#include "distributed/communicator/nccl/bootstrap.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <link.h>

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/base/host.h"
#include "distributed/communicator/nccl/check.h"

namespace polyhead {
namespace {

// Throws the error of the first member that has one on all members. Collective.
void agree(Communicator& host, const std::string& name, const std::string& complaint) {
  const std::vector<std::string> all = host.all_gather_strings(name, complaint);
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    if (!all[rank].empty()) throw Error(Exit::config, fmt::format("worker {}: {}", rank, all[rank]));
}

}  // namespace

std::vector<std::string> loaded_libraries(const std::string& stem) {
  struct Search {
    std::string stem;
    std::vector<std::string> found;
  } search{stem, {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        auto& into = *static_cast<Search*>(data);
        const std::string path = info->dlpi_name ? info->dlpi_name : "";
        const std::size_t slash = path.rfind('/');
        if (path.compare(slash == std::string::npos ? 0 : slash + 1, into.stem.size(), into.stem) == 0)
          into.found.push_back(path);
        return 0;
      },
      &search);
  return search.found;
}

void check_one_library(const std::vector<std::string>& files) {
  if (files.size() > 1)
    throw Error(Exit::config,
                fmt::format("this process has loaded {} NCCL libraries, which corrupt each other's communicators: {}; "
                            "remove the one that is not LibTorch's from LD_LIBRARY_PATH and LD_PRELOAD",
                            files.size(), fmt::join(files, ", ")));
}

void check_nccl_versions(Communicator& host) {
  int version = 0;
  std::string complaint;
  try {
    POLYHEAD_NCCL_CHECK(nullptr, ncclGetVersion(&version));
    const std::vector<std::string> files = loaded_libraries("libnccl.so");
    check_one_library(files);
    // Newer versions keep the interface of older ones.
    if (version < NCCL_VERSION_CODE)
      complaint = fmt::format(
          "built with NCCL {}, but NCCL {} was loaded ({}); an older library lacks functions or interprets their "
          "arguments differently: remove it from LD_LIBRARY_PATH, or build again with its headers",
          nccl_version_words(NCCL_VERSION_CODE), nccl_version_words(version),
          files.empty() ? "linked statically" : files[0]);
  } catch (const Error& error) {
    complaint = error.what();
  }
  agree(host, "nccl.library", complaint);
  std::vector<std::int64_t> versions(static_cast<std::size_t>(host.size()));
  const std::int64_t mine = version;
  host.all_gather("nccl.version", &mine, versions.data(), 1, DType::i64);
  const auto other = std::ranges::find_if(versions, [&](std::int64_t theirs) { return theirs != versions[0]; });
  if (other != versions.end())
    throw Error(Exit::config,
                fmt::format("worker 0 has loaded NCCL {}, but worker {} has loaded NCCL {}: their hosts' libraries "
                            "differ; install the same LibTorch on both, and check LD_LIBRARY_PATH",
                            nccl_version_words(static_cast<int>(versions[0])), other - versions.begin(),
                            nccl_version_words(static_cast<int>(*other))));
}

void check_devices(Communicator& host, int device) {
  std::string complaint, place;
  try {
    int devices = 0;
    POLYHEAD_CUDA_CHECK(cudaGetDeviceCount(&devices));
    if (device < 0 || device >= devices) {
      complaint = fmt::format(
          "its CUDA device would be number {}, but {} has {}; start at most one worker per device, and check "
          "CUDA_VISIBLE_DEVICES and nvidia-smi",
          device, host_name(), devices);
    } else {
      char bus[32] = {};
      POLYHEAD_CUDA_CHECK(cudaDeviceGetPCIBusId(bus, sizeof bus, device));
      place = fmt::format("{} of {}", bus, host_name());
    }
  } catch (const Error& error) {
    complaint = fmt::format("{}; nvidia-smi shows whether {} has a driver and devices", error.what(), host_name());
  }
  agree(host, "nccl.devices", complaint);
  const std::vector<std::string> places = host.all_gather_strings("nccl.places", place);
  std::map<std::string, std::size_t> first;
  for (std::size_t rank = 0; rank < places.size(); ++rank)
    if (const auto [at, fresh] = first.emplace(places[rank], rank); !fresh)
      throw Error(Exit::config, fmt::format("workers {} and {} share the CUDA device {}, which NCCL does not allow; "
                                            "start at most one worker per device, and check CUDA_VISIBLE_DEVICES",
                                            at->second, rank, places[rank]));
}

ncclUniqueId share_unique_id(Communicator& host) {
  ncclUniqueId id{};
  std::string complaint;
  if (host.rank() == 0) {
    try {
      POLYHEAD_NCCL_CHECK(nullptr, ncclGetUniqueId(&id));
    } catch (const Error& error) {
      complaint = error.what();
    }
  }
  agree(host, "nccl.start", complaint);
  host.broadcast("nccl.unique_id", &id, sizeof id, DType::u8, 0);
  return id;
}

}  // namespace polyhead
