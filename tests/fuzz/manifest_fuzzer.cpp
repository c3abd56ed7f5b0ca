// libFuzzer target for dataset.json: a manifest that can be read must be equal after it was written and read again.
#include <filesystem>
#include <string>

#include "core/base/error.h"
#include "core/base/files.h"
#include "datasets/manifest.h"
#include "tests/fuzz/fuzz.h"

using namespace polyhead;

namespace {

void check_paths(const Manifest& manifest) {
  const auto inside = [](const std::string& file) {
    return !file.empty() && file[0] != '/' && file != ".." && !file.starts_with("../") &&
           file.find("/../") == std::string::npos && !file.ends_with("/..") && file.find('\0') == std::string::npos;
  };
  if (!inside(manifest.tokenizer.file)) broken("the tokenizer's file lies elsewhere");
  for (const TaskInfo& task : manifest.tasks)
    for (const auto& [name, split] : task.splits) {
      std::uint64_t samples = 0;
      for (const ShardInfo& shard : split.shards) {
        if (!inside(shard.file)) broken("a shard's file lies elsewhere");
        if (__builtin_add_overflow(samples, shard.samples, &samples)) broken("samples overflow");
      }
      if (samples != split.samples) broken("another number of samples");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path folder = fuzz_folder(), file = folder / "dataset.json";
  write_input(file, data, size);
  Manifest manifest;
  try {
    manifest = read_manifest(folder);
  } catch (const Error& error) {
    if (error.code() != Exit::data) broken(error.what());
    return 0;
  }
  check_paths(manifest);
  write_manifest(folder, manifest);
  const std::string once = read_file(file);
  write_manifest(folder, read_manifest(folder));
  if (read_file(file) != once) broken("read and written again, it is another one");
  return 0;
}
