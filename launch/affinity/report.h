// What `polyhead affinity` reports: affinities of tasks, their dendrogram, and the groups that it proposes.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/metrics/affinity.h"
#include "core/metrics/grouping.h"
#include "launch/affinity/gradient_lines.h"
#include "launch/affinity/measured_pairs.h"

namespace polyhead {

struct AffinityReport {
  GradientLines lines;
  Affinity affinity;
  std::vector<Merge> merges;       // average linkage of 1 - mean cosine
  std::vector<std::size_t> order;  // of the dendrogram's leaves
  Groups groups;
  bool exact = true;  // whether the groups are the best partition; otherwise they are a cut through the dendrogram
  double within = 0;  // affinity_within() of the groups
  std::optional<Agreement> agreement;
};

// Clusters and groups the tasks. Pairs that were never measured count as affinity 0 and cosine 0. There are at least
// two tasks; 1 <= groups <= number of tasks.
AffinityReport report_affinity(GradientLines lines, std::size_t groups);

// Returns "--run.tasks=a,b", quoted for a shell where that is necessary.
std::string tasks_option(const AffinityReport& report, const std::vector<std::size_t>& group);

// Returns 10^n so that the largest absolute value off the diagonal of the symmetric affinity is from 1 to 10 units; 1
// if all are 0.
double unit_of(const Affinity& affinity);

// Returns tables of the affinities and pairs, the dendrogram, and the groups as options.
std::string format_affinity(const AffinityReport& report);
nlohmann::ordered_json json_of(const AffinityReport& report);

// Returns what was left out and what makes the values uncertain, one sentence each.
std::vector<std::string> notes_of(const AffinityReport& report);

}  // namespace polyhead
