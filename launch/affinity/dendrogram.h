// A dendrogram as text.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/metrics/grouping.h"

namespace polyhead {

// Returns one line per item, in the order of leaf_order(), and a scale from 0 to the distance of the last merge:
//
//   a  ──┬──────┬─
//   b  ──┘      │
//   c  ─────────┘
//      0      0.8
//
// A cluster continues on the line of its first item. There are at least two items. names: printable, [items].
std::string format_dendrogram(const std::vector<std::string>& names, const std::vector<Merge>& merges,
                              std::size_t columns);

}  // namespace polyhead
