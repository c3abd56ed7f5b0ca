// `polyhead verify`: checks every hash and every rule of the dataset format (docs/format.md) in a whole data set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "datasets/manifest.h"
#include "datasets/shard.h"

namespace polyhead {

struct ShardReport {
  std::string task, split, file;  // file: as in the manifest
  std::uint64_t samples = 0, input_tokens = 0, target_tokens = 0, bytes = 0;
  std::string sha256;  // computed only with VerifyOptions::rehash
  std::string fault;   // "": no fault; otherwise file, place and cure
  std::vector<std::string> warnings;
};

// Checks one shard in this process, hashes first. Throws Error(data) with file, place and cure. A file that crashes
// HDF5 crashes the process.
ShardReport verify_shard(const std::filesystem::path& file, const ShardExpectation& expected,
                         const TokenizerInfo& tokenizer);

struct VerifyOptions {
  std::size_t processes = 1;  // at the same time
  bool rehash = false;        // ignore the manifest's bytes and sha256 of shards, and compute new ones
  // Called after every shard, with the numbers of bytes checked and in total.
  std::function<void(std::uint64_t bytes, std::uint64_t of_bytes)> progress = {};
};

struct VerifyReport {
  std::vector<ShardReport> shards;    // in the order of the manifest
  std::vector<std::string> faults;    // of the tokenizer and the manifest
  std::vector<std::string> warnings;  // allowed by every rule, but unusual
  // Those of the tokenizer and the manifest, then those of the shards.
  std::vector<std::string> all_faults() const;
};

// Checks the tokenizer and every shard, each in a child process with limits of memory and CPU time, so that a crash of
// HDF5 is reported as a fault. Then it checks the data set as a whole: sums, files that are listed twice or not at all.
VerifyReport verify_dataset(const std::filesystem::path& folder, const Manifest& manifest,
                            const VerifyOptions& options);

// Writes the shards' bytes and sha256 from a report without faults to dataset.json, whose other keys do not change.
void rehash_manifest(const std::filesystem::path& folder, const VerifyReport& report);

}  // namespace polyhead
