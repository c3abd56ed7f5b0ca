// Draws the heat map, the dendrogram and the legend of affinities.
#include "launch/affinity/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/utf8.h"
#include "launch/table.h"

namespace polyhead {
namespace {

// A grey with a contrast of at least 4 to white and to near-black.
constexpr std::string_view kInk = "#767676";
constexpr double kFont = 13, kCharacter = 7.3;  // height and estimated width, pixels
constexpr std::size_t kLongest = 24;            // characters of a name
constexpr double kTree = 180, kMargin = 12, kLegend = 58;

using Colour = std::array<double, 3>;
constexpr Colour kZero = {226, 226, 226}, kAbove = {31, 111, 178}, kBelow = {200, 80, 30};

// value: -1 to 1.
Colour colour_of(double value) {
  const Colour& end = value < 0 ? kBelow : kAbove;
  const double share = std::min(1.0, std::abs(value));
  Colour out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = kZero[i] + share * (end[i] - kZero[i]);
  return out;
}

std::string hex(const Colour& colour) {
  return fmt::format("#{:02x}{:02x}{:02x}", std::lround(colour[0]), std::lround(colour[1]), std::lround(colour[2]));
}

// Returns black or white, whichever is easier to read on the colour.
std::string_view ink_on(const Colour& colour) {
  return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140 ? "#000000" : "#ffffff";
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : printable(text)) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  return out;
}

std::string shortened(const std::string& name) {
  std::u32string characters = decode_utf8(name);
  if (characters.size() <= kLongest) return name;
  characters.resize(kLongest - 1);
  return encode_utf8(characters) + "…";
}

std::string text(double x, double y, std::string_view anchor, std::string_view ink, const std::string& words,
                 const std::string& more = "") {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}"{}>{}</text>)"
                     "\n",
                     x, y, anchor, ink, more, words);
}

std::string line(double x1, double y1, double x2, double y2) {
  return fmt::format(R"(<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-width="1.5"/>)"
                     "\n",
                     x1, y1, x2, y2, kInk);
}

// Where everything is, in pixels.
struct Layout {
  double cell = 0, left = 0, top = 0, side = 0;  // of the heat map
  double unit = 1, most = 1;                     // of the affinity: what values are shown in, and the largest one

  explicit Layout(const AffinityReport& report) {
    std::size_t widest = 0;
    for (const std::string& name : report.lines.tasks)
      widest = std::max(widest, std::min(kLongest, decode_utf8(name).size()));
    const auto tasks = static_cast<double>(report.affinity.tasks);
    cell = std::clamp(600 / tasks, 16.0, 48.0);
    left = kMargin + kCharacter * static_cast<double>(widest) + 8;
    top = left;
    side = cell * tasks;
    unit = unit_of(report.affinity);
    double largest = 0;
    for (std::size_t i = 0; i < report.affinity.tasks; ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (const double value = report.affinity.pair(i, j).symmetric.mean; !std::isnan(value))
          largest = std::max(largest, std::abs(value));
    if (largest > 0) most = largest;
  }
  double width() const { return left + side + kTree + 2 * kMargin; }
  double height() const { return top + side + kLegend; }
  double middle(std::size_t row) const { return top + (static_cast<double>(row) + 0.5) * cell; }
};

// One cell of the heat map: a grey frame on the diagonal and for pairs that were not measured.
std::string cell_svg(const AffinityReport& report, const Layout& at, std::size_t row, std::size_t column) {
  const std::size_t i = report.order[row], j = report.order[column];
  const double x = at.left + static_cast<double>(column) * at.cell, y = at.top + static_cast<double>(row) * at.cell;
  const double value = report.affinity.pair(i, j).symmetric.mean;
  const std::string rect = fmt::format(R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}")", x + 0.5,
                                       y + 0.5, at.cell - 1, at.cell - 1);
  if (i == j || std::isnan(value)) return fmt::format("{} fill=\"none\" stroke=\"{}\"/>\n", rect, kInk);
  const Colour colour = colour_of(value / at.most);
  std::string out =
      fmt::format(R"({} fill="{}"><title>{}, {}: {:.3g}</title></rect>)"
                  "\n",
                  rect, hex(colour), escaped(report.lines.tasks[i]), escaped(report.lines.tasks[j]), value);
  if (at.cell >= 36)
    out += text(x + at.cell / 2, y + at.cell / 2 + 4, "middle", ink_on(colour), fmt::format("{:.1f}", value / at.unit),
                R"( font-size="12")");
  return out;
}

std::string heat_map(const AffinityReport& report, const Layout& at) {
  std::string out;
  for (std::size_t row = 0; row < report.order.size(); ++row) {
    const std::string name = escaped(shortened(report.lines.tasks[report.order[row]]));
    out += text(at.left - 6, at.middle(row) + 4, "end", kInk, name);
    const double x = at.left + (static_cast<double>(row) + 0.5) * at.cell + 4;
    out += text(x, at.top - 6, "start", kInk, name,
                fmt::format(" transform=\"rotate(-90 {:.1f} {:.1f})\"", x, at.top - 6));
    for (std::size_t column = 0; column < report.order.size(); ++column) out += cell_svg(report, at, row, column);
  }
  return out;
}

// To the right of the heat map: x is the distance of a merge, y the middle of its clusters.
std::string dendrogram_svg(const AffinityReport& report, const Layout& at) {
  struct Node {
    double x, y;
  };
  const double begin = at.left + at.side + kMargin, most = report.merges.back().distance;
  std::vector<Node> nodes(report.order.size());
  for (std::size_t row = 0; row < report.order.size(); ++row) nodes[report.order[row]] = {begin, at.middle(row)};
  std::string out;
  for (const Merge& merge : report.merges) {
    const Node left = nodes[merge.left], right = nodes[merge.right];
    const double share = most > 0 ? std::clamp(merge.distance / most, 0.0, 1.0) : 1;
    const double x = begin + share * (kTree - 3 * kMargin);
    out += line(left.x, left.y, x, left.y) + line(right.x, right.y, x, right.y) + line(x, left.y, x, right.y);
    nodes.push_back({x, (left.y + right.y) / 2});
  }
  const double below = at.top + at.side + 16;
  return out + line(nodes.back().x, nodes.back().y, nodes.back().x + kMargin, nodes.back().y) +
         text(begin, below, "start", kInk, "0") +
         text(begin + kTree - 3 * kMargin, below, "middle", kInk, fmt::format("{:.2g}", most)) +
         text(begin, below + 18, "start", kInk, "1 − mean cosine");
}

// Below the heat map: a bar of colours with its ends.
std::string legend(const Layout& at) {
  constexpr int steps = 24;
  const double width = std::min(at.side, 144.0), height = 10, y = at.top + at.side + 10;
  std::string out;
  for (int k = 0; k < steps; ++k)
    out += fmt::format(R"(<rect x="{:.2f}" y="{:.1f}" width="{:.2f}" height="{:.1f}" fill="{}"/>)"
                       "\n",
                       at.left + k * width / steps, y, width / steps + 0.3, height,
                       hex(colour_of(2.0 * (k + 0.5) / steps - 1)));
  const std::string unit = at.unit == 1 ? "" : fmt::format(", in units of {:.0e}", at.unit);
  const double most = at.most / at.unit;
  return out + text(at.left, y + height + 14, "start", kInk, fmt::format("−{:.1f}", most)) +
         text(at.left + width, y + height + 14, "end", kInk, fmt::format("{:.1f}", most)) +
         text(at.left, y + height + 30, "start", kInk, "affinity, mean of both directions" + unit);
}

}  // namespace

std::string affinity_svg(const AffinityReport& report) {
  const Layout at(report);
  const double width = std::max(at.width(), at.left + 380);  // the legend's longest line
  return fmt::format(
             R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" height="{:.0f}" font-family="system-ui, sans-serif" font-size="{:.0f}">)"
             "\n<title>Affinity of tasks</title>\n",
             width, at.height(), width, at.height(), kFont) +
         heat_map(report, at) + dendrogram_svg(report, at) + legend(at) + "</svg>\n";
}

}  // namespace polyhead
