// Draws a dendrogram with box-drawing characters.
#include "launch/affinity/dendrogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/utf8.h"

namespace polyhead {
namespace {

using Row = std::vector<std::string>;  // one character each

struct Node {
  std::size_t row = 0, column = 0;  // where its line begins
};

// Draws the line of a cluster from where it begins up to, but not including, `column`.
void draw_line(Row& row, std::size_t begin, std::size_t column) {
  for (std::size_t x = begin; x < column; ++x)
    if (row[x] == " ") row[x] = "─";
}

}  // namespace

std::string format_dendrogram(const std::vector<std::string>& names, const std::vector<Merge>& merges,
                              std::size_t columns) {
  const std::vector<std::size_t> order = leaf_order(merges);
  const double most = merges.back().distance;
  std::vector<Row> rows(order.size(), Row(columns + 2, " "));
  std::vector<Node> nodes(order.size());
  for (std::size_t row = 0; row < order.size(); ++row) nodes[order[row]] = {row, 0};
  for (const Merge& merge : merges) {
    const Node left = nodes[merge.left], right = nodes[merge.right];
    const double share = most > 0 ? std::clamp(merge.distance / most, 0.0, 1.0) : 1;
    const auto from_scale = 1 + static_cast<std::size_t>(std::lround(share * static_cast<double>(columns - 1)));
    const std::size_t column = std::max({from_scale, left.column, right.column});
    draw_line(rows[left.row], left.column, column);
    draw_line(rows[right.row], right.column, column);
    rows[left.row][column] = "┬";
    for (std::size_t row = left.row + 1; row < right.row; ++row) {
      std::string& cell = rows[row][column];
      cell = cell == " " ? "│" : cell == "┘" ? "┤" : cell;
    }
    rows[right.row][column] = rows[right.row][column] == "┬" ? "┤" : "┘";
    nodes.push_back({left.row, column});
  }
  draw_line(rows[0], 0, columns + 2);
  std::size_t widest = 0;
  const auto width = [](const std::string& text) { return decode_utf8(text).size(); };
  for (const std::string& name : names) widest = std::max(widest, width(name));
  std::string out;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::string& name = names[order[row]];
    std::string line = name + std::string(widest - width(name) + 2, ' ');
    for (const std::string& cell : rows[row]) line += cell;
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  const std::string end = fmt::format("{:.3g}", most);
  return out + fmt::format("{}0{:>{}}\n", std::string(widest + 2, ' '), end, columns);
}

}  // namespace polyhead
