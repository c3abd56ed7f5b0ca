// `polyhead verify`: every hash and every rule of the dataset format (docs/format.md), over a whole data set.
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
  std::string task, split, file;  // the file as the manifest names it
  std::uint64_t samples = 0, input_tokens = 0, target_tokens = 0, bytes = 0;
  std::string sha256;  // only when asked for
  std::string fault;   // "": none; else file, place and cure
  std::vector<std::string> warnings;
};

// Checks one shard in this process, hashes first. Throws Error(data) with file, place and cure; a file that crashes
// HDF5 crashes the process.
ShardReport verify_shard(const std::filesystem::path& file, const ShardExpectation& expected,
                         const TokenizerInfo& tokenizer);

struct VerifyOptions {
  std::size_t processes = 1;  // at once
  bool rehash = false;        // pass over the manifest's bytes and sha256 of shards, and take them anew
  // After every shard: how many of how many bytes are checked.
  std::function<void(std::uint64_t bytes, std::uint64_t of_bytes)> progress = {};
};

struct VerifyReport {
  std::vector<ShardReport> shards;    // in the manifest's order
  std::vector<std::string> faults;    // of the tokenizer and the manifest
  std::vector<std::string> warnings;  // what no rule forbids and yet is odd
  // Of the tokenizer and the manifest, then of the shards.
  std::vector<std::string> all_faults() const;
};

// Checks the tokenizer and every shard, each in a child process with limits of memory and CPU time, so that a crash of
// HDF5 is a fault like any other; then what only the whole shows (sums, a file listed twice or by nobody).
VerifyReport verify_dataset(const std::filesystem::path& folder, const Manifest& manifest,
                            const VerifyOptions& options);

// Writes the shards' bytes and sha256 of a report without faults into dataset.json, whose other keys stay as they are.
void rehash_manifest(const std::filesystem::path& folder, const VerifyReport& report);

}  // namespace polyhead
