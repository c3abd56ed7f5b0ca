// Checks a data set shard by shard, each in a child process.
#include "datasets/verify.h"

#include <algorithm>
#include <map>
#include <new>
#include <set>
#include <system_error>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "core/base/child_process.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "datasets/tokenizer/tokenizer.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kNamed = 10;  // maximum number of files in a warning

// Limits for checking a shard. A valid one needs its size once, a chunked one its unpacked size.
ChildLimits limits_of(const fs::path& file) {
  std::error_code none;
  const std::uint64_t size = fs::file_size(file, none), bytes = none ? 0 : size;
  return {.memory_bytes = (4ULL << 30) + 20 * bytes, .cpu_seconds = 60 + 2 * (bytes >> 20)};
}

// Checks that sequences include their special tokens.
void check_special_tokens(const TokenizerInfo& tokenizer, const Shard& shard, ShardReport& report) {
  ReadBuffer buffer;
  const auto odd = [&](const Column& tokens, const Column& offsets, bool begins) {
    std::uint64_t count = 0;
    for (std::uint64_t i = 0; tokens.present() && i < shard.samples(); ++i) {
      const auto [first, last] = shard.range(offsets, tokens.size(), i, buffer);
      count +=
          (begins && tokens.token(first, buffer) != tokenizer.bos) || tokens.token(last - 1, buffer) != tokenizer.eos;
    }
    return count;
  };
  if (const auto count = odd(shard.input, shard.input_offsets, true); count > 0)
    report.warnings.push_back(fmt::format("{} of {} inputs are not 'bos … eos'", count, shard.samples()));
  if (const auto count = odd(shard.target, shard.target_offsets, false); count > 0)
    report.warnings.push_back(fmt::format("{} of {} targets do not end in eos", count, shard.samples()));
}

std::string damaged(const fs::path& file, const std::string& what) {
  return fmt::format(
      "shard {}: {}. The file is damaged or malicious: do not train on it; import the data set again, or take another "
      "copy.",
      file.string(), what);
}

// Runs in the child: returns a report as JSON.
std::string check_to_json(const fs::path& path, const ShardExpectation& expected, const TokenizerInfo& tokenizer,
                          bool rehash) {
  json out;
  try {
    const ShardReport report = verify_shard(path, expected, tokenizer);
    out = {{"samples", report.samples},
           {"input_tokens", report.input_tokens},
           {"target_tokens", report.target_tokens},
           {"warnings", report.warnings}};
    if (rehash) out["sha256"] = sha256_file(path);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const Error& error) {
    out = {{"fault", error.what()}};
  } catch (const std::exception& error) {
    out = {{"fault", damaged(path, error.what())}};
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

void take_json(const std::string& text, ShardReport& report) {
  const json in = json::parse(text);
  report.fault = in.value("fault", "");
  report.samples = in.value("samples", std::uint64_t{0});
  report.input_tokens = in.value("input_tokens", std::uint64_t{0});
  report.target_tokens = in.value("target_tokens", std::uint64_t{0});
  report.sha256 = in.value("sha256", "");
  report.warnings = in.value("warnings", std::vector<std::string>{});
}

// Runs in the child: returns "" or the fault.
std::string check_tokenizer(const fs::path& folder, const TokenizerInfo& info) {
  try {
    load_tokenizer(folder, info);
    return "";
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  }
}

// Checks the token counts of splits, if the manifest has them and all shards are valid, and finds files that are listed
// twice.
void check_manifest(const fs::path& folder, const Manifest& manifest, VerifyReport& report) {
  const auto fault = [&](const std::string& task, const std::string& split, const std::string& what) {
    report.faults.push_back(fmt::format("{}: task {}, {}: {}; correct the file, or import the data set again",
                                        (folder / "dataset.json").string(), task, split, what));
  };
  struct Sum {
    std::uint64_t input = 0, target = 0;
    bool whole = true;
  };
  std::map<std::pair<std::string, std::string>, Sum> sums;
  std::map<fs::path, std::string> owners;
  for (const ShardReport& shard : report.shards) {
    Sum& sum = sums[{shard.task, shard.split}];
    sum.input += shard.input_tokens, sum.target += shard.target_tokens;
    sum.whole = sum.whole && shard.fault.empty();
    const std::string owner = fmt::format("task {}, {}", shard.task, shard.split);
    const auto [known, fresh] = owners.try_emplace(fs::path(shard.file).lexically_normal(), owner);
    if (!fresh)
      fault(shard.task, shard.split,
            fmt::format("lists the shard {} that {} lists already", shard.file, known->second));
  }
  for (const TaskInfo& task : manifest.tasks)
    for (const auto& one : task.splits) {
      const std::string& split = one.first;
      const SplitInfo& info = one.second;
      if (info.samples == 0) fault(task.name, split, "has 0 samples");
      const Sum& sum = sums[{task.name, split}];
      if (!sum.whole) continue;
      const auto compare = [&](const char* key, std::uint64_t stated, std::uint64_t found) {
        if (stated > 0 && stated != found)
          fault(task.name, split, fmt::format("says {} = {}, its shards hold {}", key, stated, found));
      };
      compare("input_tokens", info.input_tokens, sum.input);
      compare("target_tokens", info.target_tokens, sum.target);
    }
}

// Finds files in the folder that the manifest does not list, and listed files outside of the folder.
void look_around(const fs::path& folder, const Manifest& manifest, VerifyReport& report) {
  std::set<fs::path> listed = {"dataset.json", fs::path(manifest.tokenizer.file).lexically_normal()};
  std::error_code none;
  const fs::path home = fs::weakly_canonical(folder, none);
  for (const ShardReport& shard : report.shards) {
    listed.insert(fs::path(shard.file).lexically_normal());
    const fs::path there = fs::weakly_canonical(folder / shard.file, none);
    if (std::mismatch(home.begin(), home.end(), there.begin(), there.end()).first != home.end())
      report.warnings.push_back(
          fmt::format("{} is a link to {}, outside of the data set's folder", shard.file, there.string()));
  }
  std::vector<std::string> others;
  for (fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, none), end;
       !none && at != end; at.increment(none)) {
    const fs::path inner = at->path().lexically_relative(folder);
    if (!at->is_directory(none) && !listed.contains(inner)) others.push_back(inner.string());
  }
  if (others.empty()) return;
  std::sort(others.begin(), others.end());
  const std::size_t more = others.size() > kNamed ? others.size() - kNamed : 0;
  others.resize(others.size() - more);
  report.warnings.push_back(fmt::format("dataset.json does not list {}{}", fmt::join(others, ", "),
                                        more > 0 ? fmt::format(" and {} more", more) : ""));
}

}  // namespace

ShardReport verify_shard(const fs::path& file, const ShardExpectation& expected, const TokenizerInfo& tokenizer) {
  const Shard shard(file, expected, {.access = Access::automatic, .verify = Verify::open, .pool = FilePool::shared()});
  ShardReport report;
  report.samples = shard.samples();
  const std::uint64_t width = shard.feature_width();
  report.input_tokens = width > 0 ? shard.features.size() / width : shard.input.size();
  report.target_tokens = shard.target.size();
  check_special_tokens(tokenizer, shard, report);
  return report;
}

VerifyReport verify_dataset(const fs::path& folder, const Manifest& manifest, const VerifyOptions& options) {
  VerifyReport report;
  std::vector<ShardExpectation> expected;
  std::uint64_t all_bytes = 0, done_bytes = 0;
  for (const TaskInfo& task : manifest.tasks)
    for (const auto& [split, info] : task.splits)
      for (const ShardInfo& shard : info.shards) {
        expected.push_back(shard_expectation(manifest, task, split, shard));
        if (options.rehash) expected.back().info.bytes = 0, expected.back().info.sha256.clear();
        ShardReport one;
        one.task = task.name, one.split = split, one.file = shard.file;
        std::error_code none;
        const std::uint64_t size = fs::file_size(folder / shard.file, none);
        all_bytes += one.bytes = none ? 0 : size;
        report.shards.push_back(std::move(one));
      }

  // Job 0 checks the tokenizer.
  const auto path = [&](std::size_t job) {
    return folder / (job == 0 ? manifest.tokenizer.file : report.shards[job - 1].file);
  };
  run_children(
      report.shards.size() + 1, options.processes, [&](std::size_t job) { return limits_of(path(job)); },
      [&](std::size_t job) {
        return job == 0 ? check_tokenizer(folder, manifest.tokenizer)
                        : check_to_json(path(job), expected[job - 1], manifest.tokenizer, options.rehash);
      },
      [&](std::size_t job, const ChildResult& result) {
        if (job == 0) {
          if (!result.ended.empty())
            report.faults.push_back(fmt::format("the tokenizer {} cannot be loaded: {}; import the data set again",
                                                path(0).string(), result.ended));
          else if (!result.output.empty())
            report.faults.push_back(result.output);
          return;
        }
        ShardReport& shard = report.shards[job - 1];
        if (result.ended.empty())
          take_json(result.output, shard);
        else
          shard.fault =
              damaged(path(job), result.crashed ? fmt::format("HDF5 itself crashed on this file ({})", result.ended)
                                                : fmt::format("checking it took {}", result.ended));
        done_bytes += shard.bytes;
        if (options.progress) options.progress(done_bytes, all_bytes);
      });
  check_manifest(folder, manifest, report);
  look_around(folder, manifest, report);
  return report;
}

std::vector<std::string> VerifyReport::all_faults() const {
  std::vector<std::string> all = faults;
  for (const ShardReport& shard : shards)
    if (!shard.fault.empty()) all.push_back(shard.fault);
  return all;
}

void rehash_manifest(const fs::path& folder, const VerifyReport& report) {
  std::map<std::tuple<std::string, std::string, std::string>, const ShardReport*> known;
  for (const ShardReport& shard : report.shards) known[{shard.task, shard.split, shard.file}] = &shard;
  const fs::path file = folder / "dataset.json";
  nlohmann::ordered_json root = nlohmann::ordered_json::parse(read_file(file));
  for (auto& task : root.at("tasks"))
    for (auto& [split, info] : task.at("splits").items())
      for (auto& shard : info.at("shards")) {
        const ShardReport& found =
            *known.at({task.at("name").get<std::string>(), split, shard.at("file").get<std::string>()});
        shard["bytes"] = found.bytes;
        shard["sha256"] = found.sha256;
      }
  write_file_atomically(file, root.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace polyhead
