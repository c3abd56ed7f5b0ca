// Reads measured pairs and correlates them with affinities.
#include "launch/affinity/measured_pairs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json_text.h"
#include "core/metrics/correlation.h"
#include "launch/table.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kSeed = 1;  // of the bootstrap

[[noreturn]] void refuse(const fs::path& file, const std::string& what) {
  throw Error(Exit::data, fmt::format("--against {}: {}; give a file with what polyhead compare --pairs --json prints",
                                      file.string(), printable(what)));
}

// Returns NaN for a key that is missing or null.
double number_at(const json& pair, const char* key, const fs::path& file) {
  if (!pair.contains(key) || pair[key].is_null()) return kNotKnown;
  if (!pair[key].is_number()) refuse(file, fmt::format("\"{}\" is {}, expected a number", key, pair[key].dump()));
  return pair[key].get<double>();
}

// Returns the object under a key, or refuses the file.
const json& object_at(const json& parent, const std::string& key, const std::string& where, const fs::path& file) {
  if (!parent.is_object() || !parent.contains(key) || !parent[key].is_object())
    refuse(file, fmt::format("{} has no object \"{}\"", where, key));
  return parent[key];
}

}  // namespace

std::vector<MeasuredPair> read_measured_pairs(const fs::path& file) {
  json all;
  try {
    all = parse_json<json>(read_file(file));
  } catch (const JsonError& error) {
    refuse(file, fmt::format("it {}", error.what()));
  }
  std::vector<MeasuredPair> out;
  for (const auto& task : object_at(all, "tasks", "it", file).items())
    for (const auto& with : object_at(task.value(), "with", "task " + task.key(), file).items()) {
      const json& pair = with.value();
      if (!pair.is_object()) refuse(file, fmt::format("{} with {} is not an object", task.key(), with.key()));
      out.push_back({task.key(),
                     with.key(),
                     number_at(pair, "difference", file),
                     {number_at(pair, "difference_low", file), number_at(pair, "difference_high", file)},
                     number_at(pair, "relative", file)});
    }
  return out;
}

Agreement agreement_of(const Affinity& affinity, const std::vector<std::string>& tasks,
                       const std::vector<MeasuredPair>& measured, int draws, const fs::path& file) {
  std::map<std::string, std::size_t> number;
  for (std::size_t i = 0; i < tasks.size(); ++i) number[tasks[i]] = i;
  std::vector<const MeasuredPair*> used;
  std::vector<double> affinities, gains;
  for (const MeasuredPair& pair : measured) {
    if (!number.contains(pair.task) || !number.contains(pair.with) || pair.task == pair.with) continue;
    const double value = affinity.pair(number.at(pair.with), number.at(pair.task)).affinity.mean;
    if (std::isnan(value) || std::isnan(pair.difference)) continue;
    used.push_back(&pair);
    affinities.push_back(value);
  }
  if (used.size() < kLeastPairs)
    refuse(file, fmt::format("{} of its {} pairs are of tasks of the run and have an affinity and a difference, but a "
                             "rank correlation needs at least {}",
                             used.size(), measured.size(), kLeastPairs));
  Agreement out{.pairs = used.size(), .left_out = measured.size() - used.size(), .draws = draws};
  out.relative = std::ranges::none_of(used, [](const MeasuredPair* pair) { return std::isnan(pair->relative); });
  std::map<std::pair<std::size_t, std::size_t>, std::size_t> clusters;
  std::vector<std::size_t> cluster;
  for (const MeasuredPair* pair : used) {
    gains.push_back(out.relative ? pair->relative : pair->difference);
    const std::pair<std::size_t, std::size_t> both = std::minmax({number.at(pair->task), number.at(pair->with)});
    cluster.push_back(clusters.try_emplace(both, clusters.size()).first->second);
  }
  out.clusters = clusters.size();
  out.spearman = spearman(affinities, gains);
  out.interval = spearman_interval(affinities, gains, cluster, draws, kSeed);
  return out;
}

}  // namespace polyhead
