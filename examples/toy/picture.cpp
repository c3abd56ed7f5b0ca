// Contours are found on a grid, by interpolation along the edges of its cells.
#include "picture.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

namespace toy {
namespace {

constexpr double kReach = 10;  // both coordinates are shown from -kReach to kReach
constexpr double kSide = 160;  // of a panel, in pixels
constexpr double kTitle = 18;  // height of its title
constexpr double kMargin = 8;
constexpr std::size_t kColumns = 6;
constexpr double kNear = 0.05;  // points of a path that are nearer to each other are left out

double across(double x1) {
  return (x1 + kReach) / (2 * kReach) * kSide;
}

double down(double x2) {
  return (kReach - x2) / (2 * kReach) * kSide;
}

std::string point(const Vector& x) {
  return fmt::format("{:.1f} {:.1f}", across(x[0]), down(x[1]));
}

// Returns the lines on which the mean loss has a value, as the data of an SVG path.
class Contours {
 public:
  explicit Contours(const Problem& problem) {
    for (std::size_t i = 0; i <= kCells; ++i)
      for (std::size_t j = 0; j <= kCells; ++j) {
        const auto loss = problem.at({coordinate(i), coordinate(j)}).loss;
        values_.push_back((loss[0] + loss[1]) / 2);
      }
  }
  std::string line(double level) const {
    std::string data;
    for (std::size_t i = 0; i < kCells; ++i)
      for (std::size_t j = 0; j < kCells; ++j) {
        std::vector<Vector> crossings;
        const std::array<std::array<std::size_t, 2>, 5> corners = {
            {{i, j}, {i + 1, j}, {i + 1, j + 1}, {i, j + 1}, {i, j}}};
        for (std::size_t edge = 0; edge < 4; ++edge)
          if (const auto found = crossing(corners[edge], corners[edge + 1], level)) crossings.push_back(*found);
        for (std::size_t k = 0; k + 1 < crossings.size(); k += 2)
          data += fmt::format("M{}L{}", point(crossings[k]), point(crossings[k + 1]));
      }
    return data;
  }
  // Returns levels that each have an equal share of the area between them.
  std::vector<double> levels(std::size_t count) const {
    std::vector<double> sorted = values_, levels;
    std::ranges::sort(sorted);
    for (std::size_t k = 1; k <= count; ++k) levels.push_back(sorted[k * sorted.size() / (count + 1)]);
    return levels;
  }

 private:
  static constexpr std::size_t kCells = 40;

  static double coordinate(std::size_t index) { return kReach * (2 * static_cast<double>(index) / kCells - 1); }
  std::optional<Vector> crossing(const std::array<std::size_t, 2>& a, const std::array<std::size_t, 2>& b,
                                 double level) const {
    const double from = values_[a[0] * (kCells + 1) + a[1]] - level, to = values_[b[0] * (kCells + 1) + b[1]] - level;
    if ((from < 0) == (to < 0)) return std::nullopt;
    const double share = from / (from - to);
    const auto between = [&](std::size_t i) {
      return coordinate(a[i]) + share * (coordinate(b[i]) - coordinate(a[i]));
    };
    return Vector{between(0), between(1)};
  }

  std::vector<double> values_;  // [kCells + 1, kCells + 1]
};

std::string background(const Problem& problem) {
  const Contours contours(problem);
  std::string out = fmt::format(
      "<defs><g id=\"loss\"><rect width=\"{0}\" height=\"{0}\" fill=\"#fff\" stroke=\"#999\"/>"
      "<path fill=\"none\" stroke=\"#ccc\" stroke-width=\"0.6\" d=\"",
      kSide);
  for (const double level : contours.levels(8)) out += contours.line(level);
  out +=
      fmt::format("\"/><path stroke=\"#888\" stroke-width=\"4\" stroke-linecap=\"round\" d=\"M{}L{}\"/></g></defs>\n",
                  point({-kFrontEnd, kFrontHeight}), point({kFrontEnd, kFrontHeight}));
  return out;
}

std::string drawn(const Path& path, const char* color) {
  std::string data = fmt::format("M{}", point(path.points.front()));
  Vector last = path.points.front();
  for (const Vector& x : path.points) {
    if (std::hypot(x[0] - last[0], x[1] - last[1]) < kNear * kReach && &x != &path.points.back()) continue;
    data += fmt::format("L{}", point(x));
    last = x;
  }
  const Vector &first = path.points.front(), &end = path.end;
  return fmt::format(
      "<path fill=\"none\" stroke=\"{0}\" d=\"{1}\"/><circle cx=\"{2:.1f}\" cy=\"{3:.1f}\" r=\"3\" "
      "fill=\"#fff\" stroke=\"{0}\"/><circle cx=\"{4:.1f}\" cy=\"{5:.1f}\" r=\"2.5\" fill=\"{0}\"/>\n",
      color, data, across(first[0]), down(first[1]), across(end[0]), down(end[1]));
}

}  // namespace

std::string picture(const Problem& problem, const std::vector<Panel>& panels) {
  constexpr std::array<const char*, 5> kColors = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"};
  const std::size_t columns = std::min(kColumns, panels.size()), rows = (panels.size() + kColumns - 1) / kColumns;
  const double width = static_cast<double>(columns) * (kSide + kMargin) + kMargin;
  const double height = static_cast<double>(rows) * (kSide + kTitle + kMargin) + kMargin;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
      width, height);
  out += background(problem);
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const std::size_t row = i / kColumns, column = i % kColumns;
    const double left = kMargin + static_cast<double>(column) * (kSide + kMargin);
    const double top = kMargin + static_cast<double>(row) * (kSide + kTitle + kMargin);
    out += fmt::format(
        "<g transform=\"translate({} {})\"><text y=\"12\">{}</text><g transform=\"translate(0 {})\">"
        "<use href=\"#loss\"/>\n",
        left, top, panels[i].title, kTitle);
    for (std::size_t k = 0; k < panels[i].paths.size(); ++k)
      out += drawn(panels[i].paths[k], kColors[k % kColors.size()]);
    out += "</g></g>\n";
  }
  return out + "</svg>\n";
}

}  // namespace toy
