// Compares the workers and shows their differences.
#include "launch/handshake.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "launch/fingerprint.h"
#include "launch/table.h"

namespace polyhead {
namespace {

constexpr std::size_t kRows = 40;      // maximum number of rows in the table
constexpr std::size_t kLetters = 120;  // maximum length of a value
constexpr const char* kMissing = "not given";

// Writes {0, 1, 2, 5} as "0-2, 5".
std::string ranges(const std::vector<std::size_t>& ranks) {
  std::string text;
  for (std::size_t first = 0; first < ranks.size();) {
    std::size_t last = first;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", ranks[first]);
    if (last > first) text += fmt::format("-{}", ranks[last]);
    first = last + 1;
  }
  return text;
}

std::string value_in(const Facts& facts, const std::string& name) {
  const auto found = std::ranges::find(facts, name, &std::pair<std::string, std::string>::first);
  return found == facts.end() ? kMissing : found->second;
}

std::string shortened(const std::string& value) {
  return value.size() <= kLetters ? value : printable(value.substr(0, kLetters)) + "…";
}

// Returns a hash of the valid splits, which workers read in addition to train; run.data_hash covers train.
std::string valid_hash(const Manifest& manifest, const std::vector<std::string>& tasks) {
  std::string content;
  for (const std::string& task : tasks) {
    const auto& splits = manifest.task(task).splits;
    if (const auto valid = splits.find("valid"); valid != splits.end())
      for (const ShardInfo& shard : valid->second.shards)
        content += fmt::format("{} {} {} {} {}\n", task, shard.file, shard.samples, shard.bytes, shard.sha256);
  }
  return to_hex(hash_bytes(content));
}

void add_options(Facts& facts, const Config& config) {
  for (auto& [name, value] : config.values())
    if (name != "config" && name != "run.data" && !name.ends_with(".teacher")) facts.emplace_back(name, value);
}

}  // namespace

std::string table_of_differences(const std::vector<Facts>& all) {
  std::vector<std::string> names;
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    if (rank == 0 || all[rank] != all[0])
      for (const auto& [name, value] : all[rank])
        if (std::ranges::count(names, name) == 0) names.push_back(name);
  std::vector<std::vector<std::string>> rows;
  std::size_t left_out = 0;
  for (const std::string& name : names) {
    std::vector<std::pair<std::string, std::vector<std::size_t>>>
        values;  // in the order of the first worker that has each value
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      const std::string value = value_in(all[rank], name);
      auto found = std::ranges::find(values, value, &std::pair<std::string, std::vector<std::size_t>>::first);
      if (found == values.end()) found = values.insert(values.end(), {value, {}});
      found->second.push_back(rank);
    }
    if (values.size() < 2) continue;
    if (rows.size() + values.size() > kRows && !rows.empty()) {
      ++left_out;
      continue;
    }
    for (std::size_t i = 0; i < values.size() && i < kRows; ++i)
      rows.push_back({i == 0 ? name : "", shortened(values[i].first), ranges(values[i].second)});
  }
  if (rows.empty()) return "";
  std::string text = format_table({"what", "value", "workers"}, rows, "lll");
  if (left_out > 0) text += fmt::format("and {} more that differ\n", left_out);
  return text;
}

void compare_workers(const std::string& name, const Facts& mine, Communicator& world) {
  std::vector<Facts> all;
  // Options may contain any bytes.
  nlohmann::json json = nlohmann::json::array();
  for (const auto& [what, value] : mine) json.push_back({printable(what), printable(value)});
  for (const std::string& text : world.all_gather_strings(name, json.dump()))
    all.push_back(nlohmann::json::parse(text).get<Facts>());
  const std::string table = table_of_differences(all);
  if (table.empty()) return;
  throw Error(Exit::config,
              fmt::format("the workers were not started alike; this differs:\n{}Start every worker with the same "
                          "program, options and data set. Processors of different kinds take the same instruction set "
                          "with ATEN_CPU_CAPABILITY=avx2 or default in the environment of all workers",
                          table));
}

Facts facts_of_words(std::string_view command, const Config* config) {
  Facts facts = {{"command", std::string(command)}};
  if (config == nullptr)
    facts.emplace_back("--help", "true");
  else
    add_options(facts, *config);
  return facts;
}

void compare_training(const Config& resolved, const TrainOptions& options, const Manifest& manifest,
                      Communicator& world) {
  if (world.size() == 1) return;
  Fingerprint program = program_facts();
  for (const auto& [name, value] : options.fingerprint) program[name] = value;
  Facts facts(program.begin(), program.end());
  facts.emplace_back("device", options.device);
  facts.emplace_back("valid data", valid_hash(manifest, options.tasks));
  add_options(facts, resolved);
  // The resolved values are compared instead: the device above; the number of threads may differ by the affinity mask.
  std::erase_if(facts, [](const auto& fact) { return fact.first == "run.device" || fact.first == "run.threads"; });
  compare_workers("launch.training", facts, world);
}

}  // namespace polyhead
