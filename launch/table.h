// Text tables for a person: columns aligned, and the table of results at a run's end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "distributed/evaluation/attention_report.h"

namespace polyhead {

// Columns as wide as their widest cell (in characters of UTF-8), two spaces between; a column is right-aligned when
// `alignment` has 'r' at its place, else left-aligned. Every row has as many cells as the header.
std::string format_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                         const std::string& alignment);

// A task's headline metric beside what costs nothing.
struct TaskResult {
  std::string task, kind;
  std::int64_t samples = 0;
  std::string metric;  // "accuracy", "perplexity", …
  double value = 0;
  bool has_interval = false;
  double low = 0, high = 0;  // 95 %
  std::string baseline;      // "majority class", "unigram", "copy of the source", or "" for none
  double baseline_value = 0;
  bool lower_is_better = false;
};

// "above" or "below" when the interval leaves out the baseline, "not apart" when it holds it (for metrics where lower
// is better the words are "better" and "worse"); "" without a baseline or an interval.
std::string verdict(const TaskResult& result);

// One row a result: task, kind, samples, metric, value, 95 % interval, baseline, verdict. Perplexity,
// BLEU and chrF with two digits, other metrics with four.
std::string format_results(const std::vector<TaskResult>& results);

// One row a task, one for all words, and the dead tasks.
std::string format_attention(const AttentionReport& report);

// Text from a file for a terminal: what is not UTF-8 and control characters other than line ends and tabs become
// U+FFFD.
std::string printable(std::string_view text);

// 1234567 as "1,234,567".
std::string with_commas(std::int64_t number);
// Seconds as "43 s", "12 min", "3 h 05 min".
std::string duration(double seconds);

}  // namespace polyhead
