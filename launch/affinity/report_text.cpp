// Prints the report as tables, a dendrogram and options.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/text.h"
#include "launch/affinity/dendrogram.h"
#include "launch/affinity/report.h"
#include "launch/table.h"

namespace polyhead {
namespace {

constexpr std::size_t kColumns = 48;     // of the dendrogram
constexpr std::size_t kShownPairs = 20;  // the highest and the lowest ones, if there are more

using Pair = std::pair<std::size_t, std::size_t>;

std::string in_units(double value, double unit) {
  return std::isnan(value) ? "" : fmt::format("{:.2f}", value / unit);
}

std::string interval_in_units(const Interval& interval, double unit) {
  return std::isnan(interval.low) ? "" : fmt::format("{:.2f} to {:.2f}", interval.low / unit, interval.high / unit);
}

std::string percent(double share) {
  return std::isnan(share) ? "" : fmt::format("{:.0f} %", 100 * share);
}

std::vector<std::string> shown_names(const AffinityReport& report) {
  std::vector<std::string> names;
  for (const std::string& name : report.lines.tasks) names.push_back(printable(name));
  return names;
}

std::string affinity_table(const AffinityReport& report, double unit) {
  const std::size_t tasks = report.affinity.tasks;
  const std::vector<std::string> names = shown_names(report);
  std::vector<std::string> header = {"", "task"};
  for (std::size_t j = 0; j < tasks; ++j) header.push_back(std::to_string(j + 1));
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < tasks; ++i) {
    auto& row = rows.emplace_back(std::vector<std::string>{std::to_string(i + 1), names[i]});
    for (std::size_t j = 0; j < tasks; ++j) row.push_back(in_units(report.affinity.pair(i, j).symmetric.mean, unit));
  }
  return format_table(header, rows, "rl" + std::string(tasks, 'r'));
}

// Returns all pairs (i < j) that were measured, by descending affinity.
std::vector<Pair> pairs_by_affinity(const Affinity& affinity) {
  std::vector<Pair> pairs;
  const auto value = [&](const Pair& pair) { return affinity.pair(pair.first, pair.second).symmetric.mean; };
  for (std::size_t i = 0; i < affinity.tasks; ++i)
    for (std::size_t j = i + 1; j < affinity.tasks; ++j)
      if (!std::isnan(value({i, j}))) pairs.emplace_back(i, j);
  std::stable_sort(pairs.begin(), pairs.end(), [&](const Pair& a, const Pair& b) { return value(a) > value(b); });
  return pairs;
}

std::string pairs_table(const AffinityReport& report, double unit) {
  const std::vector<std::string> names = shown_names(report);
  std::vector<Pair> pairs = pairs_by_affinity(report.affinity);
  const std::size_t all = pairs.size();
  if (all > kShownPairs)
    pairs.erase(pairs.begin() + kShownPairs / 2, pairs.end() - static_cast<std::ptrdiff_t>(kShownPairs / 2));
  std::vector<std::vector<std::string>> rows;
  for (const Pair& one : pairs) {
    const PairAffinity& pair = report.affinity.pair(one.first, one.second);
    rows.push_back({names[one.first], names[one.second], in_units(pair.symmetric.mean, unit),
                    interval_in_units(pair.symmetric.interval, unit), in_units(pair.cosine.mean, 1),
                    interval_in_units(pair.cosine.interval, 1), in_units(pair.cosine_spread, 1),
                    percent(pair.conflicts), with_commas(pair.symmetric.steps)});
  }
  const std::string table = format_table(
      {"task", "task", "affinity", "95 % interval", "cosine", "95 % interval", "spread", "conflicts", "steps"}, rows,
      "llrrrrrrr");
  const std::string rest =
      fmt::format("The {} highest and lowest of {} pairs; --json has all.\n", kShownPairs / 2, all);
  return table + (all > kShownPairs ? rest : "");
}

std::string agreement_line(const Agreement& agreement) {
  const char* gain = agreement.relative ? "relative gains" : "gains";
  if (std::isnan(agreement.spearman))
    return fmt::format("rank correlation with measured {}: not defined, as all affinities or all gains are equal\n",
                       gain);
  const std::string interval =
      std::isnan(agreement.interval.low)
          ? "no interval"
          : fmt::format("95 % interval {:.2f} to {:.2f}", agreement.interval.low, agreement.interval.high);
  return fmt::format(
      "rank correlation (Spearman) of affinities with measured {}: {:.2f} ({}; {} ordered pairs of tasks, "
      "{} draws over {} pairs{})\n",
      gain, agreement.spearman, interval, agreement.pairs, with_commas(agreement.draws), agreement.clusters,
      agreement.left_out > 0 ? fmt::format("; {} measured pairs left out", agreement.left_out) : "");
}

std::string groups_text(const AffinityReport& report, double unit) {
  std::string out = fmt::format(
      "{} of tasks to train together, {}. A task gets an affinity of {:.2f} from the others of its group, "
      "on average:\n\n",
      report.groups.size() == 1 ? "1 group" : fmt::format("{} groups", report.groups.size()),
      report.exact ? "with the highest affinity for each task within its group, of all partitions"
                   : "by a cut through the dendrogram",
      report.within / unit);
  for (const std::vector<std::size_t>& group : report.groups)
    out += fmt::format("  {}\n", printable(tasks_option(report, group)));
  return out;
}

}  // namespace

double unit_of(const Affinity& affinity) {
  double most = 0;
  for (std::size_t i = 0; i < affinity.tasks; ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (const double value = affinity.pair(i, j).symmetric.mean; !std::isnan(value))
        most = std::max(most, std::abs(value));
  return most > 0 ? std::pow(10, std::floor(std::log10(most))) : 1;
}

std::string format_affinity(const AffinityReport& report) {
  const double unit = unit_of(report.affinity);
  const std::string of_unit = unit == 1 ? "" : fmt::format(", in units of {:.0e}", unit);
  std::string out = fmt::format(
      "affinity{}: the share of a task's loss that a gradient step for the other task takes away, mean of both "
      "directions; on the diagonal, by its own step\n\n{}\n",
      of_unit, affinity_table(report, unit));
  out += fmt::format(
      "pairs: intervals from {} blocks of steps; spread is the standard deviation of the cosine over steps; conflicts "
      "are steps with a cosine below 0\n\n{}\n",
      report.affinity.blocks, pairs_table(report, unit));
  out += fmt::format("dendrogram: average linkage of 1 - mean cosine\n\n{}\n",
                     format_dendrogram(shown_names(report), report.merges, kColumns));
  out += groups_text(report, unit);
  if (report.agreement) out += fmt::format("\n{}", agreement_line(*report.agreement));
  return out;
}

}  // namespace polyhead
