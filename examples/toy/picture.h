// A picture of paths, in SVG.
#pragma once

#include <string>
#include <vector>

#include "descent.h"

namespace toy {

struct Panel {
  std::string title;
  std::vector<Path> paths;
};

// Returns the text of an SVG file with a panel of each method: contours of the mean of both losses, the Pareto front,
// and the paths from their starts (circles) to their ends (dots).
std::string picture(const Problem& problem, const std::vector<Panel>& panels);

}  // namespace toy
