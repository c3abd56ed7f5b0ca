// Loads libpolyhead_parquet.so, and with it Apache Arrow, when the first Parquet file is opened.
#include "datasets/reading/parquet.h"

#include <dlfcn.h>

#include <stdexcept>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "datasets/reading/byte_stream.h"
#include "datasets/reading/parquet/module/entry.h"

namespace polyhead {
namespace {

constexpr const char* kModule = "libpolyhead_parquet.so";

struct Loaded {
  OpenParquetRows* open = nullptr;
  std::string error;  // message of the dynamic linker
};

// In a build folder the module is next to the program; elsewhere the program's run path finds it.
Loaded load() {
  std::error_code ignored;
  const std::filesystem::path beside = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / kModule;
  const std::string file = std::filesystem::exists(beside, ignored) ? beside.string() : kModule;
  void* module = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = module == nullptr ? nullptr : ::dlsym(module, kOpenParquetRows);
  if (entry != nullptr) return {reinterpret_cast<OpenParquetRows*>(entry), ""};
  const char* error = ::dlerror();
  return {nullptr, error == nullptr ? "unknown error" : error};
}

}  // namespace

std::unique_ptr<ParquetRows> open_parquet(int descriptor, const std::filesystem::path&, bool name_classes) {
  static const Loaded loaded = load();
  if (loaded.open == nullptr)
    throw BadStream(
        fmt::format("is Parquet, and the library that reads it cannot be loaded: {}; run launch/setup and build again, "
                    "or keep {} beside the program and Apache Arrow where it was",
                    loaded.error, kModule));
  try {
    return std::unique_ptr<ParquetRows>(loaded.open(descriptor, name_classes));
  } catch (const std::runtime_error& error) {
    throw BadStream(error.what());
  }
}

}  // namespace polyhead
