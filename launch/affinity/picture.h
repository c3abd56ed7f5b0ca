// A picture of affinities.
#pragma once

#include <string>

#include "launch/affinity/report.h"

namespace polyhead {

// Returns an SVG with a heat map of the symmetric affinity, in the order of the dendrogram, the dendrogram to its right
// and a legend. It has no background, and is legible on light and on dark ones.
std::string affinity_svg(const AffinityReport& report);

}  // namespace polyhead
