// Text tables: aligned columns, and the table of results at the end of a run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "distributed/evaluation/attention_report.h"

namespace polyhead {

// Columns are as wide as their widest cell (in UTF-8 characters), separated by two spaces. A column is right-aligned if
// `alignment` has 'r' at its index, otherwise left-aligned. Every row must have as many cells as the header.
std::string format_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                         const std::string& alignment);

// A task's primary metric next to a simple baseline.
struct TaskResult {
  std::string task, kind;
  std::int64_t samples = 0;
  std::string metric;  // "accuracy", "perplexity", …
  double value = 0;
  bool has_interval = false;
  double low = 0, high = 0;  // 95 % interval
  std::string baseline;      // "majority class", "unigram", "copy of the source"; "": none
  double baseline_value = 0;
  bool lower_is_better = false;
  int decimals = 4;
};

// Compares the interval with the baseline: "above" or "below" if the interval does not contain the baseline ("better"
// or "worse" for metrics where lower is better), "not apart" if it does; "" without a baseline or an interval.
std::string verdict(const TaskResult& result);

// One row per result: task, kind, samples, metric, value, 95 % interval, baseline, verdict.
std::string format_results(const std::vector<TaskResult>& results);

// One row per task, one for all words, and the list of dead tasks.
std::string format_attention(const AttentionReport& report);

// Makes text from a file safe for a terminal: bytes that are not UTF-8, and control characters other than line ends and
// tabs, become U+FFFD.
std::string printable(std::string_view text);

// Formats seconds as "43 s", "12 min", "3 h 05 min".
std::string duration(double seconds);

}  // namespace polyhead
