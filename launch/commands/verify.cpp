// polyhead verify: checks every hash and every rule of a data set, and the hashes of a run's checkpoints.
#include "datasets/verify.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/text.h"
#include "distributed/checkpoint/files.h"
#include "distributed/checkpoint/store.h"
#include "launch/commands/commands.h"
#include "launch/host.h"
#include "launch/run_options.h"
#include "launch/run_status.h"
#include "launch/say.h"
#include "launch/table.h"
#include "launch/threads.h"

namespace polyhead {
namespace {

using nlohmann::json;

constexpr std::size_t kShown = 20;  // maximum number of faults printed

// Prints "verified 1,234 of 5,678 MiB" to stderr: in place on a terminal, otherwise every five seconds.
class Progress {
 public:
  void operator()(std::uint64_t bytes, std::uint64_t of_bytes) {
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_ < (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(5))) return;
    shown_ = now;
    const auto mib = [](std::uint64_t b) { return with_commas(b >> 20); };
    say("{}verified {} of {} MiB{}", terminal_ ? "\r" : "", mib(bytes), mib(of_bytes), terminal_ ? "" : "\n");
    line_ = terminal_;
  }
  void clear() {
    if (line_) say("\r\033[K");
    line_ = false;
  }

 private:
  bool terminal_ = ::isatty(STDERR_FILENO) == 1, line_ = false;
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
};

// Sums over the shards of a split.
struct SplitResult {
  std::string task, split;
  std::uint64_t shards = 0, samples = 0, input_tokens = 0, target_tokens = 0, bytes = 0, faults = 0;
};

std::vector<SplitResult> by_split(const VerifyReport& report) {
  std::vector<SplitResult> all;
  for (const ShardReport& shard : report.shards) {
    if (all.empty() || all.back().task != shard.task || all.back().split != shard.split)
      all.push_back({shard.task, shard.split});
    SplitResult& one = all.back();
    ++one.shards;
    one.samples += shard.samples, one.bytes += shard.bytes;
    one.input_tokens += shard.input_tokens, one.target_tokens += shard.target_tokens;
    one.faults += !shard.fault.empty();
  }
  return all;
}

std::string table_of(const VerifyReport& report) {
  std::vector<std::vector<std::string>> rows;
  const auto number = [](std::uint64_t n) { return with_commas(n); };
  for (const SplitResult& one : by_split(report))
    rows.push_back({printable(one.task), one.split, number(one.shards), number(one.samples), number(one.input_tokens),
                    number(one.target_tokens), number(one.bytes),
                    one.faults == 0 ? "ok" : fmt::format("{} of {} at fault", one.faults, one.shards)});
  return format_table({"task", "split", "shards", "samples", "input tokens", "target tokens", "bytes", "result"}, rows,
                      "llrrrrrl");
}

json json_of(const VerifyReport& report) {
  json shards = json::array();
  for (const ShardReport& one : report.shards) {
    shards.push_back({{"task", one.task},
                      {"split", one.split},
                      {"file", one.file},
                      {"bytes", one.bytes},
                      {"ok", one.fault.empty()}});
    if (one.fault.empty())
      shards.back().update(
          {{"samples", one.samples}, {"input_tokens", one.input_tokens}, {"target_tokens", one.target_tokens}});
    else
      shards.back()["fault"] = one.fault;
  }
  return shards;
}

// Returns the faults of a data set. It prints the results, or adds them to `as_json` if that is not null.
std::vector<std::string> verify_data(const Config& config, std::size_t processes, json* as_json) {
  const std::filesystem::path folder = config.path("data");
  VerifyReport report;
  const auto began = std::chrono::steady_clock::now();
  try {
    const Manifest manifest = read_manifest(folder);
    Progress progress;
    VerifyOptions options{.processes = processes, .rehash = config.flag("rehash")};
    if (as_json == nullptr)
      options.progress = [&](std::uint64_t bytes, std::uint64_t of_bytes) { progress(bytes, of_bytes); };
    report = verify_dataset(folder, manifest, options);
    progress.clear();
  } catch (const Error& error) {
    if (error.code() != Exit::data) throw;
    report.faults.emplace_back(error.what());
  }
  std::vector<std::string> faults = report.all_faults();
  for (const ShardReport& shard : report.shards)
    for (const std::string& warning : shard.warnings) report.warnings.push_back(shard.file + ": " + warning);
  const bool rehashed = config.flag("rehash") && faults.empty();
  if (rehashed) rehash_manifest(folder, report);
  if (as_json != nullptr) {
    (*as_json)["shards"] = json_of(report);
    (*as_json)["warnings"] = report.warnings;
    (*as_json)["rehashed"] = rehashed;
    return faults;
  }
  if (!report.shards.empty()) fmt::print("{}\n", table_of(report));
  for (const std::string& warning : report.warnings) fmt::print("warning: {}\n", printable(warning));
  if (faults.empty())
    fmt::print("{}: every hash and every rule of the format holds ({}){}\n", folder.string(),
               duration(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count()),
               rehashed ? "; the shards' bytes and sha256 in dataset.json are updated" : "");
  return faults;
}

// Returns the faults of a run's checkpoints. A checkpoint that a running training removes in the meantime is not a
// fault.
std::vector<std::string> verify_run(const std::filesystem::path& run_dir, json* as_json) {
  std::vector<std::string> faults;
  json whole = json::array();
  const auto all = checkpoints(run_dir);
  if (all.empty())
    throw Error(Exit::data, fmt::format("{} holds no checkpoint; --run-dir is the folder of a run", run_dir.string()));
  for (const auto& folder : all) try {
      const CheckpointState state = verify_checkpoint(folder);
      whole.push_back(folder.filename().string());
      if (as_json == nullptr) fmt::print("{}: {} files, every hash holds\n", folder.string(), state.files.size());
    } catch (const Error& error) {
      std::error_code gone;
      if (std::filesystem::exists(folder, gone)) faults.emplace_back(error.what());
    }
  for (std::string& fault : dangling_names(run_dir)) faults.push_back(std::move(fault));
  const std::string note = unfinished(run_dir);
  if (as_json != nullptr) {
    (*as_json)["checkpoints"] = whole;
    if (!note.empty()) (*as_json)["note"] = note;
  } else if (!note.empty()) {
    fmt::print("note: {}\n", printable(note));
  }
  return faults;
}

}  // namespace

std::span<const Option> verify_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {.key = "data",
       .type = path,
       .help = "The folder of a data set. Its manifest, its tokenizer and every shard are verified."},
      {.key = "run-dir", .type = path, .help = "The folder of a run. Its checkpoints are verified."},
      {.key = "rehash",
       .type = flag,
       .value = "false",
       .help = "If everything else is correct, update the shards' bytes and sha256 in dataset.json."},
      {.key = "threads",
       .type = integer,
       .value = "0",
       .help = "Number of shards that are verified at the same time, each in a process of its own. 0 uses "
               "OMP_NUM_THREADS if it is set, otherwise the number of cores.",
       .allowed = ">=0"},
      {.key = "json", .type = flag, .value = "false", .help = "Print one JSON object instead of a table."},
  };
  return table;
}

int run_verify(const Config& config, Communicator& world) {
  if (!config.has("data") && !config.has("run-dir"))
    throw Error(Exit::usage, "there is nothing to verify; add --data DIR or --run-dir DIR");
  if (config.flag("rehash") && !config.has("data"))
    throw Error(Exit::usage, "--rehash needs a data set; add --data DIR");
  std::int64_t processes = config.integer("threads");
  if (processes == 0) processes = threads_of_environment();
  if (processes == 0) processes = cpus_from_affinity(world).threads();
  json out = json::object();
  json* as_json = config.flag("json") ? &out : nullptr;
  std::vector<std::string> faults;
  if (config.has("data")) faults = verify_data(config, static_cast<std::size_t>(processes), as_json);
  if (config.has("run-dir"))
    for (std::string& fault : verify_run(config.path("run-dir"), as_json)) faults.push_back(std::move(fault));
  if (as_json != nullptr) {
    out["ok"] = faults.empty();
    out["faults"] = faults;
    fmt::print("{}\n", out.dump(-1, ' ', false, json::error_handler_t::replace));
  } else {
    for (std::size_t i = 1; i < std::min(faults.size(), kShown); ++i) fmt::print("fault: {}\n", printable(faults[i]));
    if (faults.size() > kShown) fmt::print("and {} more (all with --json)\n", faults.size() - kShown);
  }
  std::fflush(stdout);
  if (!faults.empty())
    throw Error(Exit::data,
                faults.size() == 1 ? faults[0] : fmt::format("{} ({} faults in all)", faults[0], faults.size()));
  return 0;
}

}  // namespace polyhead
