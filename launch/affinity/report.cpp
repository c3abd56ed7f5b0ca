// Clusters and groups the tasks, and prints the result as JSON.
#include "launch/affinity/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/shell.h"

namespace polyhead {
namespace {

using Json = nlohmann::ordered_json;  // writes NaN as null

SquareMatrix distances(const Affinity& affinity) {
  SquareMatrix out = mean_cosine(affinity);
  for (std::size_t i = 0; i < out.size(); ++i)
    for (std::size_t j = 0; j < out.size(); ++j) out(i, j) = i == j ? 0 : std::max(0.0, 1 - out(i, j));
  return out;
}

// Returns a [tasks, tasks] matrix as a list of rows.
template <class Value>
Json table(const Affinity& affinity, Value value) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < affinity.tasks; ++i) {
    Json& row = rows.emplace_back(Json::array());
    for (std::size_t j = 0; j < affinity.tasks; ++j) row.push_back(value(affinity.pair(i, j)));
  }
  return rows;
}

void add_estimate(Json& out, const std::string& name, const Affinity& affinity, Estimate PairAffinity::*member) {
  out[name] = table(affinity, [&](const PairAffinity& pair) { return (pair.*member).mean; });
  out[name + "_low"] = table(affinity, [&](const PairAffinity& pair) { return (pair.*member).interval.low; });
  out[name + "_high"] = table(affinity, [&](const PairAffinity& pair) { return (pair.*member).interval.high; });
}

Json json_of(const Agreement& agreement) {
  return {{"gain", agreement.relative ? "relative" : "difference"},
          {"pairs", agreement.pairs},
          {"left_out", agreement.left_out},
          {"spearman", agreement.spearman},
          {"spearman_low", agreement.interval.low},
          {"spearman_high", agreement.interval.high},
          {"draws", agreement.draws}};
}

}  // namespace

AffinityReport report_affinity(GradientLines lines, std::size_t groups) {
  AffinityReport out;
  out.lines = std::move(lines);
  out.affinity = out.lines.sums.result();
  const SquareMatrix means = mean_affinity(out.affinity);
  out.merges = average_linkage(distances(out.affinity));
  out.order = leaf_order(out.merges);
  out.exact = out.affinity.tasks <= kMaxExactItems;
  out.groups = out.exact ? best_partition(means, groups) : cut(out.merges, groups);
  out.within = affinity_within(means, out.groups);
  return out;
}

std::string tasks_option(const AffinityReport& report, const std::vector<std::size_t>& group) {
  std::vector<std::string> names;
  for (const std::size_t task : group) names.push_back(report.lines.tasks[task]);
  const std::string option = fmt::format("--run.tasks={}", fmt::join(names, ","));
  const bool plain = std::ranges::all_of(option, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.,=+:@%/").find(c) != std::string_view::npos;
  });
  return plain ? option : shell_quoted(option);
}

nlohmann::ordered_json json_of(const AffinityReport& report) {
  const Affinity& affinity = report.affinity;
  const GradientLines& lines = report.lines;
  Json out = {{"steps", affinity.steps},    {"first_step", lines.first}, {"last_step", lines.last},
              {"blocks", affinity.blocks},  {"damaged", lines.damaged},  {"without_loss", lines.without_loss},
              {"sketched", lines.sketched}, {"tasks", lines.tasks},      {"task_steps", affinity.task_steps}};
  add_estimate(out, "affinity", affinity, &PairAffinity::affinity);
  add_estimate(out, "symmetric", affinity, &PairAffinity::symmetric);
  add_estimate(out, "cosine", affinity, &PairAffinity::cosine);
  out["cosine_spread"] = table(affinity, [](const PairAffinity& pair) { return pair.cosine_spread; });
  out["conflicts"] = table(affinity, [](const PairAffinity& pair) { return pair.conflicts; });
  out["pair_steps"] = table(affinity, [](const PairAffinity& pair) { return pair.affinity.steps; });
  out["merges"] = Json::array();
  for (const Merge& merge : report.merges)
    out["merges"].push_back({merge.left, merge.right, merge.distance, merge.size});
  out["order"] = report.order;
  out["groups"] = Json::array();
  out["options"] = Json::array();
  for (const std::vector<std::size_t>& group : report.groups) {
    Json& names = out["groups"].emplace_back(Json::array());
    for (const std::size_t task : group) names.push_back(lines.tasks[task]);
    out["options"].push_back(tasks_option(report, group));
  }
  out["exact"] = report.exact;
  out["within"] = report.within;
  if (report.agreement) out["against"] = json_of(*report.agreement);
  return out;
}

std::vector<std::string> notes_of(const AffinityReport& report) {
  const GradientLines& lines = report.lines;
  const Affinity& affinity = report.affinity;
  std::vector<std::string> notes;
  if (lines.damaged > 0)
    notes.push_back(fmt::format("{} damaged lines of metrics.jsonl are left out, the first of them line {}",
                                lines.damaged, lines.first_damaged));
  if (lines.without_loss > 0)
    notes.push_back(fmt::format("{} lines of gradients are left out, as metrics.jsonl has no losses of their steps",
                                lines.without_loss));
  if (lines.sketched > 0)
    notes.push_back(fmt::format("{} of {} steps have estimates from a sketch of the gradients (balance.scope)",
                                lines.sketched, affinity.steps));
  std::vector<std::string> without, never;
  for (std::size_t j = 0; j < affinity.tasks; ++j) {
    if (affinity.pair(j, j).affinity.steps == 0) without.push_back(lines.tasks[j]);
    for (std::size_t i = 0; i < j; ++i)
      if (affinity.pair(i, j).symmetric.steps == 0) never.push_back(lines.tasks[i] + " with " + lines.tasks[j]);
  }
  if (!without.empty())
    notes.push_back(fmt::format("no task has an affinity for {}: in no step was the loss above 0 and finite",
                                fmt::join(without, ", ")));
  if (!never.empty()) {
    const std::size_t more = never.size() - std::min<std::size_t>(never.size(), 8);
    never.resize(never.size() - more);
    notes.push_back(fmt::format("these pairs were not measured in any step, and count as unrelated: {}{}",
                                fmt::join(never, ", "), more > 0 ? fmt::format(" and {} more", more) : ""));
  }
  return notes;
}

}  // namespace polyhead
