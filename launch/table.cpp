// Text tables.
#include "launch/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/base/text.h"
#include "core/base/utf8.h"

namespace polyhead {
namespace {

// Counts characters, not bytes: continuation bytes of UTF-8 are skipped.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::string format_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                         const std::string& alignment) {
  std::vector<std::size_t> widths;
  for (std::size_t column = 0; column < header.size(); ++column) {
    std::size_t widest = width(header[column]);
    for (const auto& row : rows) widest = std::max(widest, width(row.at(column)));
    widths.push_back(widest);
  }
  std::string out;
  const auto add = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::string space(widths[column] - width(row[column]), ' ');
      if (column > 0) line += "  ";
      line += column < alignment.size() && alignment[column] == 'r' ? space + row[column] : row[column] + space;
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  add(header);
  std::vector<std::string> rule;
  for (const std::size_t w : widths) rule.emplace_back(w, '-');
  add(rule);
  for (const auto& row : rows) add(row);
  return out;
}

std::string verdict(const TaskResult& result) {
  if (result.baseline.empty() || !result.has_interval) return "";
  const bool above = result.low > result.baseline_value, below = result.high < result.baseline_value;
  if (!above && !below) return "not apart";
  if (result.lower_is_better) return below ? "better" : "worse";
  return above ? "above" : "below";
}

std::string format_results(const std::vector<TaskResult>& results) {
  std::vector<std::vector<std::string>> rows;
  for (const TaskResult& result : results) {
    const auto number = [&](double value) { return fmt::format("{:.{}f}", value, result.decimals); };
    rows.push_back(
        {result.task, result.kind, with_commas(result.samples), result.metric, number(result.value),
         result.has_interval ? fmt::format("{} to {}", number(result.low), number(result.high)) : "",
         result.baseline.empty() ? "" : fmt::format("{} ({})", number(result.baseline_value), result.baseline),
         verdict(result)});
  }
  return format_table({"task", "kind", "samples", "metric", "value", "95 % interval", "baseline", "verdict"}, rows,
                      "llrlrrll");
}

std::string format_attention(const AttentionReport& report) {
  std::vector<std::vector<std::string>> rows;
  const auto add = [&](const std::string& name, const std::map<std::string, double>& figures) {
    std::vector<std::string>& row = rows.emplace_back(std::vector<std::string>{name});
    for (const char* key : {"importance", "share", "no_task", "entropy", "effective_tasks", "focused"}) {
      const auto found = figures.find(key);
      row.push_back(found == figures.end() ? "" : fmt::format("{:.{}f}", found->second, key[1] == 'f' ? 2 : 4));
    }
  };
  for (const auto& [name, figures] : report.tasks) add(name, figures);
  add("all words", report.all);
  return format_table({"words of", "importance", "share", "no task", "entropy", "effective tasks", "above 0.9"}, rows,
                      "lrrrrrr") +
         fmt::format("dead tasks: {}", report.dead.empty() ? "none" : fmt::format("{}", fmt::join(report.dead, ", ")));
}

std::string printable(std::string_view text) {
  std::u32string characters = decode_utf8(text);
  for (char32_t& c : characters)
    if ((c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0)) c = 0xFFFD;
  return encode_utf8(characters);
}

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 90) return fmt::format("{} s", whole);
  const std::int64_t minutes = (whole + 30) / 60;
  if (minutes < 90) return fmt::format("{} min", minutes);
  return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

}  // namespace polyhead
